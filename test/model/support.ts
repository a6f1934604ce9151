/**
 * Whole models for tests: a model compiled from source into a folder that is gone after the file's tests, opened by the runtime, and
 * beside it the graph interpreter under the numeric contract, which defines the bits that the artefact must give.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll } from "vitest";
import { compile, LfmcError, type CompileOptions, type CompileResult } from "../../compiler/index.ts";
import { createInterpreter, type Interpreter } from "../../compiler/graph/interpret.ts";
import { importModel } from "../../compiler/import/model.ts";
import { readConstant } from "../../compiler/import/read-constant.ts";
import { preparedGraph } from "../../compiler/pipeline.ts";
import type { NumericOptions } from "../../compiler/options.ts";
import type { VariantWish } from "../../runtime/features.ts";
import { load, type Decode, type Model } from "../../runtime/index.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const demoFolder = join(root, "examples", "demo-model");
export const shapesFolder = join(root, "test", "golden", "data", "shapes");

if (!existsSync(join(root, "dist", "runtime.js"))) {
  throw new Error("dist/runtime.js is not built, and every artefact carries it: run `npm run build` (`npm ci` does)");
}

/** An empty folder for one test file, gone after its tests; call it at the file's top level. */
export async function workFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lfmc-test-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export type ModelOptions = Omit<CompileOptions, "target" | "output">;

export interface Compiled extends CompileResult {
  readonly folder: string;
}

/** The modules for one thread, as `features` of a model whose threads are another test's: they take half the time of all. */
export const oneThread = ["simd128", "relaxed"] as const;

/** Ways in which tokens come about: all give the same ones. */
export const decodes: readonly Decode[] = ["greedy", "jacobi", "lookup"];

/** Compiles into `folder`, which must not hold anything else. */
export async function compileTo(folder: string, options: ModelOptions): Promise<Compiled> {
  return { folder, ...(await compile({ ...options, target: "wasm-simd", output: folder })) };
}

/** Opens an artefact with the runtime's source, checking every hash. */
export async function openModel(folder: string, wish: VariantWish = {}): Promise<Model> {
  return await load({ base: pathToFileURL(`${folder}/`), verify: true, ...wish });
}

/** The model as the numeric contract defines it, with nothing of the compiler behind the passes. */
export async function contractInterpreter(path: string, options: NumericOptions): Promise<Interpreter> {
  const model = await importModel(path);
  try {
    return await createInterpreter(preparedGraph(model, options).graph, (constant) => readConstant(model.store, constant), "contract");
  } finally {
    await model.store.close();
  }
}

/** A copy of the logits after each token, from an empty slot 0, `chunk` rows a call. */
export function forwardAll(model: Model, tokens: readonly number[], chunk?: number): readonly Float32Array[] {
  const { prefillChunk, logitRows } = model.manifest.limits;
  const perCall = Math.min(chunk ?? prefillChunk, prefillChunk, logitRows);
  const logits: Float32Array[] = [];
  for (let start = 0; start < tokens.length; start += perCall) {
    const rows = tokens.slice(start, start + perCall).map((token, i) => ({ token, slot: 0, position: start + i, wantsLogits: true }));
    for (const row of model.forward(rows)) logits.push(row.slice());
  }
  return logits;
}

/** The same of the interpreter, in one call. */
export function interpretAll(interpreter: Interpreter, tokens: readonly number[]): readonly Float32Array[] {
  return interpreter.forward(tokens.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }))).logits;
}

/** Where two lists of rows first differ in any bit, in words; null where they do not. */
export function firstDifference(found: readonly Float32Array[], expected: readonly Float32Array[]): string | null {
  if (found.length !== expected.length) return `${found.length} rows instead of ${expected.length}`;
  for (const [row, values] of expected.entries()) {
    const other = found[row];
    if (other?.length !== values.length) return `row ${row}: ${other?.length ?? 0} values instead of ${values.length}`;
    const [a, b] = [bitsOf(other), bitsOf(values)];
    const at = a.findIndex((bits, i) => bits !== b[i]);
    if (at >= 0) return `row ${row}, logit ${at}: ${other[at]} instead of ${values[at]}`;
  }
  return null;
}

/** The binary32 patterns, so that -0 is not 0 and NaN is itself. */
function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** Token ids below `vocabulary` that look random and never change. */
export function someTokens(count: number, vocabulary: number, seed = 1): readonly number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabulary);
  });
}

/** Every file below a folder, with its bytes as latin1 text, by path; empty folders do not show. */
export async function filesBelow(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(paths.toSorted().map(async (path) => [path.slice(folder.length + 1), await readFile(path, "latin1")] as const)),
  );
}

/** The error that `run` is refused with; anything else fails the test. */
export async function refusal(run: () => Promise<unknown>): Promise<LfmcError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof LfmcError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
