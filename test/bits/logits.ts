/** The sha256 of a model's logits, computed in every way there is: one promise, one number. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { encodeSafetensors } from "../../compiler/commands/encode-safetensors.ts";
import { compile } from "../../compiler/index.ts";
import type { NumericOptions } from "../../compiler/options.ts";
import { detectFeatures } from "../../runtime/features.ts";
import { caseFolder, readGolden, type GoldenCase } from "../golden/read.ts";
import { contractInterpreter, forwardAll, interpretAll, openModel } from "../model/support.ts";
import type { Toolchain, Unit } from "./toolchains.ts";

const run = promisify(execFile);

/** A golden case with numbers stored in some way. */
export interface BitsCase extends NumericOptions {
  readonly model: GoldenCase;
  /** Rows of a call, at most; with few of them there is less code. */
  readonly prefillChunk?: number;
}

/** `dense-tiny q4_0 kv q8_0`. */
export function caseName({ model, quant = "q4_0", kv, activations, tensorTypes = [] }: BitsCase): string {
  const more = [...(kv ? [`kv ${kv}`] : []), ...(activations ? [`activations ${activations}`] : []), ...tensorTypes];
  return [model, quant, ...more].join(" ");
}

export const strictFlags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/** Logits in the file that `lfmc forward` writes. */
function digestOf(rows: readonly Float32Array[]): string {
  const width = rows[0]?.length ?? 0;
  const values = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    values.set(row, i * width);
  });
  return sha256(encodeSafetensors([{ name: "logits", shape: [rows.length, width], values }]));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** By the graph interpreter under the numeric contract: what the bits mean. */
export async function interpretedDigest({ model, ...numerics }: BitsCase): Promise<string> {
  const interpreter = await contractInterpreter(caseFolder(model), numerics);
  return digestOf(interpretAll(interpreter, readGolden(model).ids));
}

/** A WebAssembly artefact of a case, with all variants. */
export interface ModuleArtefact {
  readonly folder: string;
  readonly ids: readonly number[];
}

export async function createModules({ model, ...numerics }: BitsCase, folder: string): Promise<ModuleArtefact> {
  await compile({ ...numerics, model: caseFolder(model), target: "wasm-simd", output: folder });
  return { folder, ids: readGolden(model).ids };
}

/** A module of an artefact, in some threads. */
export interface ModuleRun {
  readonly variant: "simd128" | "relaxed";
  readonly threads: number;
}

/** By a WebAssembly module. */
export async function moduleDigest({ folder, ids }: ModuleArtefact, { variant, threads }: ModuleRun): Promise<string> {
  const model = await openModel(folder, { variant, threads });
  try {
    if (model.variant?.name !== variant || model.threads !== threads) throw new Error("another module was loaded");
    return digestOf(forwardAll(model, ids));
  } finally {
    await model.dispose();
  }
}

/** Why a variant cannot run in this engine; null where it can. */
export function moduleObstacle({ variant }: ModuleRun): string | null {
  return detectFeatures().has(variant) ? null : `this engine lacks ${variant}`;
}

/** A C artefact of a case, and its tokens in a file. */
export interface Project {
  readonly folder: string;
  readonly tokens: string;
}

export async function createProject({ model, ...numerics }: BitsCase, target: Toolchain["target"], folder: string): Promise<Project> {
  await compile({ ...numerics, model: caseFolder(model), target, output: folder, name: "bits" });
  const tokens = `${folder}.tokens.json`;
  await writeFile(tokens, JSON.stringify(readGolden(model).ids));
  return { folder, tokens };
}

/** Builds the project's program without a warning; `flags` beside the strict ones, `-O2` say. */
export async function buildProject({ folder }: Project, { compiler, flags: own }: Toolchain, flags: readonly string[]): Promise<string> {
  const output = join(folder, "build");
  await mkdir(output, { recursive: true });
  const program = join(output, [compiler, ...flags].join("").replace(/[^A-Za-z0-9-]/g, "_"));
  const sources = (await readdir(folder)).filter((name) => name.endsWith(".c")).map((name) => join(folder, name));
  await run(compiler, [...own, ...strictFlags, ...flags, ...sources, "-lm", "-lpthread", "-o", program]);
  return program;
}

/** By a built program. */
export async function programDigest(
  program: string,
  { folder, tokens }: Project,
  { runner }: Toolchain,
  { variant, cpu }: Pick<Unit, "variant" | "cpu">,
  threads: number,
): Promise<string> {
  const output = `${program}.${variant}.${threads}.safetensors`;
  const weights = join(folder, "weights.bin");
  const args = ["forward", "--tokens", tokens, "--threads", String(threads), "--variant", variant, "--weights", weights, "-o", output];
  const [command = program, ...rest] = [...runner(cpu), program, ...args];
  await run(command, rest);
  return sha256(await readFile(output));
}
