/**
 * What the negative tests share: a model in parts that a test can damage, and the one way in which lfmc may refuse: an `LfmcError` that names
 * its subject and the way out, and leaves nothing behind.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, expect } from "vitest";
import { LfmcError as CompilerError } from "../../compiler/errors.ts";
import { compile, type CompileOptions } from "../../compiler/index.ts";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { caseFolder } from "../golden/read.ts";

export type JsonObject = Readonly<Record<string, unknown>>;
export type Refusal = CompilerError | RuntimeError;

export interface Tensor {
  readonly dtype: unknown;
  readonly shape: unknown;
  readonly data_offsets: unknown;
}

/** A checkpoint in parts. */
export interface ModelParts {
  readonly config: JsonObject;
  readonly header: Readonly<Record<string, Tensor>>;
  readonly data: Uint8Array;
}

const tiny = caseFolder("dense-tiny");

export const valid: ModelParts = await readParts();

async function readParts(): Promise<ModelParts> {
  const file = new Uint8Array(await readFile(join(tiny, "model.safetensors")));
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const { __metadata__: _, ...header } = parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const config = parse(await readFile(join(tiny, "config.json"), "utf8"));
  return { config, header: header as Readonly<Record<string, Tensor>>, data: file.subarray(8 + length) };
}

function parse(text: string): JsonObject {
  return JSON.parse(text) as JsonObject;
}

/** An empty folder for one test file, gone after its tests; call it at the file's top level. */
export async function workFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lfmc-negative-"));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export type Files = Readonly<Record<string, Uint8Array | string>>;

/** Makes `folder` anew with these files in it. */
export async function writeFiles(folder: string, files: Files): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

/** Runs `run`, which must be refused in the one proper way. */
export async function refused(run: () => unknown): Promise<Refusal> {
  const error = await outcome(run);
  if (error === null) throw new Error("nothing was refused");
  return error;
}

/** The proper refusal that `run` ends with, or null; anything else, an internal error or a TypeError say, is thrown on. */
export async function outcome(run: () => unknown): Promise<Refusal | null> {
  try {
    await run();
    return null;
  } catch (error) {
    if (!(error instanceof CompilerError || error instanceof RuntimeError)) throw error;
    expect(error.subject).not.toBe("");
    expect(error.hint).toMatch(/\w{2}/);
    expect(error.message.startsWith(`${error.subject}: `)).toBe(true);
    expect(error.message.length).toBeLessThan(1000);
    expect(`${error.message}${error.hint}`).not.toMatch(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/u);
    return error;
  }
}

/** Compiles `model` into a folder of `parent`, must be refused, and must leave `parent` as empty as it was. */
export async function refusedCompile(parent: string, options: Omit<CompileOptions, "target" | "output">): Promise<Refusal> {
  await writeFiles(parent, {});
  const error = await refused(() => compile({ target: "wasm-simd", features: ["simd128"], output: join(parent, "artefact"), ...options }));
  expect(await readdir(parent)).toEqual([]);
  return error;
}

/** A change of one byte, or the end of all of them. */
export type Edit = readonly [at: number, kind: "replace" | "insert" | "remove" | "cut", byte: number];

/** A few changes to `length` bytes of JSON, many of them to its punctuation. */
export function edits(length: number): fc.Arbitrary<Edit[]> {
  const structural = [...new TextEncoder().encode('{}[]",:0123456789-.eE\\ nu')];
  const kind = fc.constantFrom("replace" as const, "replace" as const, "insert" as const, "remove" as const, "cut" as const);
  return fc.array(fc.tuple(fc.nat(length - 1), kind, fc.oneof(fc.constantFrom(...structural), fc.nat(255))), {
    minLength: 1,
    maxLength: 3,
  });
}

/** `bytes` after these changes. */
export function damaged(bytes: Uint8Array, changes: readonly Edit[]): Uint8Array {
  const result = [...bytes];
  for (const [at, kind, byte] of changes) {
    if (kind === "cut") result.length = Math.min(at, result.length);
    else result.splice(at, kind === "insert" ? 0 : 1, ...(kind === "remove" ? [] : [byte]));
  }
  return Uint8Array.from(result);
}
