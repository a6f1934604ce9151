/**
 * The files round code and weights: the package's entry points and what they import, tokenizer, chat template, and the text files that any lfmc of
 * this version would write. Those may be edited, so that they are told of, and no fault.
 */
import { posix } from "node:path";
import { checkTemplate } from "../../../runtime/chat/template.ts";
import type { Manifest } from "../../../runtime/manifest.ts";
import { cTargets } from "../../../targets/c/target.ts";
import { packageFiles } from "../../../targets/wasm/package.ts";
import { parseJson } from "../../import/json.ts";
import { isRecord } from "../../import/schema-error.ts";
import { builtRuntime, runtimeBundles } from "../built-runtime.ts";
import { packageVersion } from "../manifest.ts";
import { fileOnDisk, type ModelFile } from "../../import/model-file.ts";
import { checkTokenizer } from "../model-files.ts";
import { invalid, note, ok, untilFault, type Finding, type Findings } from "./finding.ts";
import { findFile, hasFile, readWhole } from "./files.ts";

/** A script or a list of exports that is larger is none of lfmc's. */
const largestScript = 2 ** 22;

/** Checks them all; `weightsHash` is that of the packed tensors, null where they could not be read. */
export async function* checkPackage(folder: string, manifest: Manifest, weightsHash: string | null): Findings {
  yield* untilFault(checkEntries(folder, manifest));
  yield* untilFault(checkTokenizerFile(folder, manifest));
  yield* untilFault(checkTemplateFile(folder, manifest));
  yield* untilFault(compareFiles(folder, manifest, weightsHash));
}

/** Tells of every entry point of package.json, and file that one imports, which is not there. Throws artefact/invalid where there are none. */
async function* checkEntries(folder: string, manifest: Manifest): Findings {
  const path = "package.json";
  const json = parseJson(await readText(folder, path));
  if (!("value" in json)) throw invalid(path, json.fault);
  const entries = entryPoints(isRecord(json.value) ? json.value.exports : undefined);
  if (entries.length === 0) throw invalid(path, "exports nothing");
  // Nothing imports the script of threads: it is started by its address.
  const seen = new Set([...entries, ...(runtimeBundles(manifest).has("thread.js") ? ["thread.js"] : [])]);
  let isWhole = true;
  // The set grows while it is gone through.
  for (const entry of seen) {
    const imports = yield* untilFault(checkEntry(folder, entry));
    isWhole &&= imports !== null;
    for (const each of imports ?? []) seen.add(each);
  }
  if (isWhole) yield ok(path, `its ${entries.length} entry points and what they import are there: ${seen.size} files`);
}

/** Returns the files that the file at `path` imports, itself one of the artefact's. Throws io/missing. */
async function* checkEntry(folder: string, path: string): AsyncGenerator<Finding, readonly string[], void> {
  if (!path.endsWith(".js")) await findFile(folder, path);
  return path.endsWith(".js") ? importsOf(path, await readText(folder, path)) : [];
}

/** The files that `exports` names, each once; patterns name none. */
function entryPoints(exports: unknown): readonly string[] {
  const open = [exports];
  const found = new Set<string>();
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value === "string" && !value.includes("*")) found.add(posix.normalize(value));
    if (typeof value === "object" && value !== null) for (const each of Object.values(value)) open.push(each);
  }
  return [...found];
}

/** The files that a script imports by relative paths. */
function importsOf(path: string, script: Uint8Array): readonly string[] {
  const text = new TextDecoder().decode(script);
  const specifiers = [...text.matchAll(/\b(?:from|import)\s*["'](\.{1,2}\/[^"'?]+)/g)];
  return specifiers.map(([, specifier = ""]) => posix.join(posix.dirname(path), specifier));
}

async function readText(folder: string, path: string): Promise<Uint8Array> {
  const file = await findFile(folder, path);
  if (file.bytes > largestScript) throw invalid(path, `has ${file.bytes} bytes, more than lfmc writes`);
  return await readWhole(file);
}

/** Throws what checkTokenizer throws, and io/missing. */
async function* checkTokenizerFile(folder: string, { files, tokens, model: { vocabSize } }: Manifest): Findings {
  const { tokenizer, tokenizerConfig } = files;
  if (tokenizer === null) return;
  const place = async (path: string): Promise<ModelFile> => fileOnDisk((await findFile(folder, path)).place);
  const places = { tokenizer: await place(tokenizer), tokenizerConfig: tokenizerConfig === null ? null : await place(tokenizerConfig) };
  await checkTokenizer({ files: places, tokens, config: { vocabSize } });
  yield ok(tokenizer, `opens, and gives ids inside the vocabulary of ${vocabSize}`);
}

/** Throws chat/template, io/missing. */
async function* checkTemplateFile(folder: string, { files: { chatTemplate } }: Manifest): Findings {
  if (chatTemplate === null) return;
  checkTemplate(new TextDecoder().decode(await readText(folder, chatTemplate)));
  yield ok(chatTemplate, "parses");
}

/** Tells what differs from what this lfmc would write, where it is of the version that compiled the artefact. */
async function* compareFiles(folder: string, manifest: Manifest, weightsHash: string | null): Findings {
  if (manifest.lfmc !== packageVersion) {
    yield note("lfmc", `compiled this in version ${manifest.lfmc}, and is ${packageVersion} here: the files round it are not compared`);
    return;
  }
  const expected = [...(await writtenFiles(folder, manifest, weightsHash)), ...(await runtimeFiles(manifest))];
  const same: string[] = [];
  for (const { path, bytes } of expected) {
    if (!(await hasFile(folder, path))) yield note(path, "is missing");
    else if (bytes.equals(await readText(folder, path))) same.push(path);
    else yield note(path, `differs from that of lfmc ${packageVersion} here: edited, or written by another build`);
  }
  if (same.length > 0) yield ok("other files", `as lfmc ${packageVersion} writes them: ${same.join(", ")}`);
}

interface ExpectedFile {
  readonly path: string;
  readonly bytes: Buffer;
}

/** The text files that the target writes round the code; without package.json, which is there to be edited. A library's hold the hash of its weights. */
async function writtenFiles(folder: string, manifest: Manifest, weightsHash: string | null): Promise<readonly ExpectedFile[]> {
  const { target, files, variants } = manifest;
  if (target !== "wasm-simd") {
    if (weightsHash === null) return [];
    const known = cTargets[target].variants.map(({ name }) => name);
    const other = variants.find(({ name }) => !known.includes(name));
    if (other) throw invalid("manifest.json", `names a variant "${other.name}", which --target ${target} does not have`);
  }
  const chatTemplate = files.chatTemplate === null ? null : new TextDecoder().decode(await readText(folder, files.chatTemplate));
  const python = target !== "wasm-simd" && (await hasFile(folder, "pyproject.toml"));
  const input = { manifest, license: null, chatTemplate, weightsHash: weightsHash ?? "", python };
  const written = target === "wasm-simd" ? packageFiles(input) : cTargets[target].files(input);
  return written.filter(({ path }) => path !== "package.json").map(({ path, text }) => ({ path, bytes: Buffer.from(text) }));
}

/** The bundles of the runtime that this lfmc would put there. */
async function runtimeFiles(manifest: Manifest): Promise<readonly ExpectedFile[]> {
  const dist = await builtRuntime();
  const files = [...runtimeBundles(manifest)].map(async ([path, bundle]) => ({ path, bytes: Buffer.from(await readText(dist, bundle)) }));
  return await Promise.all(files);
}
