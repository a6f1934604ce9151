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
import type { ModelKind } from "./contenders/contender.ts";
import { cacheFolder } from "./folders.ts";
import { weightBytes, writeRandomGguf } from "./random-gguf.ts";

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

/** Writes the GGUF file of a shape, unless it is there, or compiles its artefact, which is done in every run: the compiler is what is measured. */
export async function prepareModel(kind: ModelKind, shape: Shape): Promise<PreparedModel> {
  return kind === "gguf" ? await prepareGguf(shape) : await prepareArtefact(kind, shape);
}

/** Throws run/input where models differ by more than 2 % in their bytes of weights: their speeds could not be compared. */
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
  const hash = createHash("sha256").update(JSON.stringify(config)).digest("hex").slice(0, 12);
  const path = join(cacheFolder, "models", `${shape.name}-q4_0-${hash}.gguf`);
  if (!existsSync(path)) {
    await mkdir(dirname(path), { recursive: true });
    await writeRandomGguf(`${path}.part`, config);
    await rename(`${path}.part`, path);
  }
  return { path, weightBytes: weightBytes(config) };
}

async function configOf(path: string): Promise<ModelConfig> {
  const file = path.endsWith(".json") ? path : join(path, "config.json");
  const parsed = parseJson(await readFile(file));
  if ("value" in parsed) return parseConfig(parsed.value, file).config;
  throw new LfmcError("config/invalid", parsed.fault, { subject: file, hint: "name a model's folder, or its config.json" });
}

async function prepareArtefact(target: Exclude<ModelKind, "gguf">, { name, path, context, kv }: Shape): Promise<PreparedModel> {
  const folder = join(cacheFolder, "models", `${name}-${target}`);
  const { artefact } = await compile({ model: path, target, output: folder, name: "peer", context, kv, randomWeights: seed });
  if (!artefact) throw new Error("nothing was compiled");
  if (target !== "wasm-simd") await buildLibrary(folder, artefact.manifest);
  return { path: folder, weightBytes: bytesOf(artefact.manifest) };
}

function bytesOf({ weights }: Manifest): number {
  return weights.reduce((sum, { bytes }) => sum + bytes, 0);
}
