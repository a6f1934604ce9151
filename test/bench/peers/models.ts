/** The models of a comparison: one shape, random weights, the same encoding for everyone. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { compile, LfmcError, type Manifest } from "../../../compiler/index.ts";
import { parseConfig, type ModelConfig } from "../../../compiler/import/config.ts";
import { parseJson } from "../../../compiler/import/json.ts";
import { buildLibrary } from "../../../compiler/native/build.ts";
import type { Kv } from "../../../compiler/options.ts";
import { encodings, type ModelKind } from "./contenders/contender.ts";
import { libraryFile } from "../../../runtime/library/native-engine.ts";
import { cacheFolder } from "./folders.ts";
import { fileVersion, plainWeightBytes, writePlainModel, type PlainEncoding } from "./plain/weights-file.ts";
import { weightBytes, writeRandomGguf } from "./random-gguf.ts";
import { make, runTool } from "./tools.ts";

export interface Shape {
  readonly name: string;
  /** A model's folder or its config.json. */
  readonly path: string;
  /** Positions of an artefact's session. */
  readonly context: number;
  /** Encoding of lfmc's cache; llama.cpp's is f16. */
  readonly kv: Kv;
}

export interface PreparedModel {
  /** A file, or an artefact's folder. */
  readonly path: string;
  readonly weightBytes: number;
}

const seed = 1;
/** What two models may differ in, of the smaller one's bytes. */
const tolerance = 0.02;

/**
 * Writes the file of a shape for llama.cpp or for plain loops, unless it is there, or compiles its artefact, which is done in every run: the
 * compiler is what is measured.
 */
export async function prepareModel(kind: ModelKind, shape: Shape): Promise<PreparedModel> {
  switch (kind) {
    case "gguf":
      return await prepareGguf(shape);
    case "plain-f32":
    case "plain-int8":
      return await preparePlain(encodings[kind], shape);
    default:
      return await prepareArtefact(kind, shape);
  }
}

/** Throws run/input where models of one encoding differ by more than 2 % in their bytes of weights: their speeds could not be compared. */
export function checkSameSize(models: readonly PreparedModel[]): void {
  const sizes = models.map((model) => model.weightBytes);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  if (models.length === 0 || most <= least * (1 + tolerance)) return;
  throw new LfmcError("run/input", `have from ${least} to ${most} bytes of weights, more than ${100 * tolerance} % apart`, {
    subject: models.map(({ path }) => basename(path)).join(", "),
    hint: "compare the encodings of single tensors",
  });
}

async function prepareGguf(shape: Shape): Promise<PreparedModel> {
  const config = await configOf(shape.path);
  const path = join(cacheFolder, "models", `${shape.name}-q4_0-${hashOf(config)}.gguf`);
  await writeOnce(path, (part) => writeRandomGguf(part, config));
  return { path, weightBytes: weightBytes(config) };
}

async function preparePlain(encoding: PlainEncoding, shape: Shape): Promise<PreparedModel> {
  const config = await configOf(shape.path);
  const path = join(cacheFolder, "models", `${shape.name}-${encoding}-${hashOf([config, fileVersion])}.plain`);
  await writeOnce(path, (part) => writePlainModel(shape.path, part, encoding, { randomWeights: seed }));
  return { path, weightBytes: plainWeightBytes(config, encoding) };
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);
}

/** Makes a file under another name, so that it is whole where it is there. */
async function writeOnce(path: string, write: (part: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) return;
  await mkdir(dirname(path), { recursive: true });
  await write(`${path}.part`);
  await rename(`${path}.part`, path);
}

async function configOf(path: string): Promise<ModelConfig> {
  const file = path.endsWith(".json") ? path : join(path, "config.json");
  const parsed = parseJson(await readFile(file));
  if ("value" in parsed) return parseConfig(parsed.value, file).config;
  throw new LfmcError("config/invalid", parsed.fault, { subject: file, hint: "name a model's folder, or its config.json" });
}

/** The portable C is built as its own makefile would, but for -O3. */
async function prepareArtefact(target: "wasm-simd" | "c-x86" | "c", { name, path, context, kv }: Shape): Promise<PreparedModel> {
  const folder = join(cacheFolder, "models", `${name}-${target}`);
  const { artefact } = await compile({ model: path, target, output: folder, name: "peer", context, kv, randomWeights: seed });
  if (!artefact) throw new Error("nothing was compiled");
  if (target === "c-x86") await buildLibrary(folder, artefact.manifest);
  if (target === "c") await runTool(make, ["CC=gcc", "CFLAGS=-O3", libraryFile(artefact.manifest.name, process.platform)], folder);
  return { path: folder, weightBytes: bytesOf(artefact.manifest) };
}

function bytesOf({ weights }: Manifest): number {
  return weights.reduce((sum, { bytes }) => sum + bytes, 0);
}
