/**
 * Type checks programs that use an installed package, as a strict consumer would: their own folder, the package under node_modules, no
 * other types but those of their hosts, and declarations checked too.
 */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import ts from "typescript";
import { root } from "../model/support.ts";

/** The types that programs have of their hosts: a page's, Node's (which know nothing of WebAssembly), or none. */
export const libraries = {
  dom: { lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"], types: [] },
  node: { lib: ["lib.es2023.d.ts"], types: ["node"], typeRoots: [join(root, "node_modules", "@types")] },
  none: { lib: ["lib.es2023.d.ts"], types: [] },
} satisfies Readonly<Record<string, ts.CompilerOptions>>;

const strict: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  target: ts.ScriptTarget.ES2023,
  ...libraries.dom,
  noEmit: true,
  // The package stays in the consumer's node_modules, out of reach of this repository's.
  preserveSymlinks: true,
};

/** The two ways in which projects resolve packages today. */
export const resolutions = {
  nodenext: { ...strict, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  bundler: { ...strict, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
} as const;

/** A project in `folder` with `packages` (name to folder) installed. */
export async function createProject(folder: string, packages: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(join(folder, "node_modules"), { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const [name, target] of Object.entries(packages)) await symlink(target, join(folder, "node_modules", name), "dir");
}

/**
 * Checks `programs` (file name to text) in one go, and what they import of the project's packages, but not what is `taken` as it is, packages and the
 * compiler's own libraries, which take seconds; returns each file's faults as "TS2322 message", the packages' own under "".
 */
export async function typeFaults(
  folder: string,
  programs: Readonly<Record<string, string>>,
  options: ts.CompilerOptions,
  taken: readonly string[] = [],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const paths = new Map(Object.keys(programs).map((name) => [join(folder, name), name]));
  for (const [path, name] of paths) await writeFile(path, programs[name] ?? "");
  const faults = new Map<string, string[]>();
  const program = ts.createProgram([...paths.keys()], options);
  const isTaken = (path: string): boolean => taken.some((name) => path.startsWith(join(folder, "node_modules", name)));
  const files = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(folder) && !isTaken(fileName));
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...files.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
  ];
  for (const { file, code, messageText } of diagnostics) {
    const name = paths.get(file?.fileName ?? "") ?? "";
    const where = name === "" ? `${file?.fileName ?? "options"}: ` : "";
    faults.set(name, [...(faults.get(name) ?? []), `${where}TS${code} ${ts.flattenDiagnosticMessageText(messageText, " ")}`]);
  }
  return faults;
}

/** What an editor shows of words in a program of `text` at `path`: of the word's last occurrence its type and its documentation. */
export function quickInfo(path: string, text: string): (word: string) => string {
  const host: ts.LanguageServiceHost = {
    getCompilationSettings: () => resolutions.nodenext,
    getScriptFileNames: () => [path],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const content = name === path ? text : ts.sys.readFile(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => dirname(path),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === path || ts.sys.fileExists(name),
    readFile: (name) => ts.sys.readFile(name),
    directoryExists: (name) => ts.sys.directoryExists(name),
    getDirectories: (name) => ts.sys.getDirectories(name),
  };
  const service = ts.createLanguageService(host);
  return (word) => {
    const info = service.getQuickInfoAtPosition(path, text.lastIndexOf(word));
    return `${ts.displayPartsToString(info?.displayParts)}\n${ts.displayPartsToString(info?.documentation)}`;
  };
}
