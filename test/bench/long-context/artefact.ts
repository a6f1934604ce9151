/** Artefacts of the study: built with random weights, since neither time nor memory depends on their values. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Manifest } from "../../../runtime/index.ts";
import { parseManifest } from "../../../runtime/manifest-parse.ts";
import type { ModelPlace } from "../../../compiler/bench/measurement.ts";
import { runnableVariants } from "../../../compiler/bench/records.ts";
import { required } from "../../../compiler/errors.ts";
import { compile } from "../../../compiler/index.ts";
import { buildLibrary } from "../../../compiler/native/build.ts";
import { loadTarget } from "../../../compiler/targets.ts";
import type { StudyModel } from "./study.ts";

/** What runs the models: a target, its best variant that this machine has, in as many threads as all are measured with. */
export interface Engine {
  readonly target: "c-x86" | "wasm-simd";
  readonly variant: string;
}

/** An artefact on this machine. */
export interface Artefact {
  readonly place: ModelPlace;
  readonly manifest: Manifest;
}

export const threads = 2;

export async function engineOf(target: Engine["target"]): Promise<Engine> {
  // Targets list their variants from worst to best.
  return { target, variant: required(runnableVariants(await loadTarget(target), null).at(-1), "variant").name };
}

/** Compiles and builds `model` into `folder`, or takes what an earlier call made of it there. */
export async function artefactIn(folder: string, model: StudyModel, { target, variant }: Engine, context: number): Promise<Artefact> {
  const path = join(folder, `${target}-${context}`);
  const manifest = (await readManifest(path)) ?? (await build(path, model, { target, variant }, context));
  const library = target === "wasm-simd" ? null : pathToFileURL((await buildLibrary(path, manifest)).path).href;
  return { place: { base: pathToFileURL(`${path}/`).href, library, variant, threads }, manifest };
}

async function build(path: string, { json }: StudyModel, { target, variant }: Engine, context: number): Promise<Manifest> {
  const config = `${path}.config`;
  await mkdir(config, { recursive: true });
  await writeFile(join(config, "config.json"), JSON.stringify(json));
  const { artefact } = await compile({
    model: config,
    target,
    output: path,
    name: "model",
    variants: [variant],
    ...(target === "wasm-simd" ? { features: ["simd128", "relaxed", "threads"] } : {}),
    randomWeights: 0,
    quant: "q4_0",
    kv: "f16",
    context,
  });
  await rm(config, { recursive: true });
  return required(artefact, "artefact").manifest;
}

/** That of an artefact which an earlier call built whole; null where there is none. */
async function readManifest(path: string): Promise<Manifest | null> {
  const file = join(path, "manifest.json");
  return existsSync(file) ? parseManifest(JSON.parse(await readFile(file, "utf8"))) : null;
}
