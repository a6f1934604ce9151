/**
 * What a source file imports, read from its syntax tree: static imports and re-exports, `import()` calls and `import("…")` types.
 * Knows nothing of rules.
 */

import { posix } from "node:path";
import ts from "typescript";

/** A file of the repository: its path from the root with forward slashes, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export interface Import {
  /** For a relative import the imported file's path from the root; else the specifier as written. */
  readonly target: string;
  readonly kind: "file" | "builtin" | "package";
  /** `types` leaves no trace at run time; `dynamic` is an `import()` call. */
  readonly form: "value" | "types" | "dynamic";
  readonly line: number;
}

/** Every import of `file`, in the order of the text. */
export function importsOf(file: SourceFile): readonly Import[] {
  const tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ES2023, false);
  const found: Import[] = [];
  const add = (specifier: ts.Node | undefined, form: Import["form"]): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const line = tree.getLineAndCharacterOfPosition(specifier.getStart(tree)).line + 1;
    found.push({ ...resolve(file.path, specifier.text), form, line });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node) ? "types" : "value");
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly ? "types" : "value");
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, "types");
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], "dynamic");
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

/** `import type …`; `import { type A }` is kept at run time under verbatimModuleSyntax, so it counts as a value. */
function isTypeOnly(node: ts.ImportDeclaration): boolean {
  return node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

function resolve(from: string, specifier: string): Pick<Import, "target" | "kind"> {
  if (specifier.startsWith(".")) return { target: posix.join(posix.dirname(from), specifier), kind: "file" };
  return { target: specifier, kind: specifier.startsWith("node:") ? "builtin" : "package" };
}
