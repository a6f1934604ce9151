/**
 * The compiler's public API: `compile(options)` takes a model to an artefact. This is the composition root, the one place that knows
 * the stages, the targets and the artefact's files.
 */
import { copyFile, cp, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageFiles } from "../targets/wasm/package.ts";
import { wasmSimd } from "../targets/wasm/target.ts";
import type { EmittedCode, Target } from "../targets/target.ts";
import type { Manifest } from "../runtime/manifest.ts";
import { writeAside } from "./artefact/output-folder.ts";
import { createWeightFile } from "./artefact/weight-file.ts";
import { LfmcError, required } from "./errors.ts";
import { printGraph } from "./graph/print.ts";
import { importModel, type ImportedModel, type ModelFiles } from "./import/model.ts";
import { printKernel } from "./kernel/print.ts";
import { buildManifest, packageVersion } from "./artefact/manifest.ts";
import type { CompileOptions, EmitStage } from "./options.ts";
import { checkMemory, draftProgram, packWeights, planProgram, type Draft } from "./pipeline.ts";
import { printPlan } from "./plan/print.ts";
import type { Program } from "./plan/program.ts";

export { LfmcError } from "./errors.ts";
export { packageVersion } from "./artefact/manifest.ts";
export type { CompileOptions, EmitStage } from "./options.ts";
export type { Manifest } from "../runtime/manifest.ts";

export interface CompileResult {
  /** The plan; of a dry run too. */
  readonly program: Program;
  readonly warnings: readonly string[];
  /** What was written; null for a dry run. */
  readonly artefact: { readonly folder: string; readonly manifest: Manifest } | null;
}

const targets: Readonly<Record<CompileOptions["target"], Target>> = { "wasm-simd": wasmSimd };

/** Compiles a model. Throws LfmcError where the input is at fault; then nothing was written. */
export async function compile(options: CompileOptions): Promise<CompileResult> {
  const target = targets[options.target];
  const model = await importModel(options.model, options.randomWeights === undefined ? {} : { randomWeights: options.randomWeights });
  try {
    // Every variant runs the same plan but for its tiles; the first stands for the memory of all.
    const variant = required(target.variants[0], "variant");
    const draft = draftProgram(model, target, variant, options);
    if (options.dryRun) return { program: draft.program, warnings: model.warnings, artefact: null };
    const { output } = options;
    if (output === undefined) throw new LfmcError("usage/flag", "is missing", { subject: "-o", hint: "name the artefact's folder, or pass --dry-run" });
    let written: { program: Program; manifest: Manifest } | null = null;
    await writeAside(output, async (folder) => {
      written = await writeArtefact(folder, model, draft, target, options);
    });
    const { program, manifest } = required<{ program: Program; manifest: Manifest }>(written, "artefact");
    return { program, warnings: model.warnings, artefact: { folder: output, manifest } };
  } finally {
    await model.store.close();
  }
}

async function writeArtefact(
  folder: string,
  model: ImportedModel,
  { graph, limits, constants }: Draft,
  target: Target,
  options: CompileOptions,
): Promise<{ program: Program; manifest: Manifest }> {
  const file = await createWeightFile(folder, options.shardSize ?? Infinity);
  try {
    const weights = await packWeights(constants, model.store, file, options.onProgress);
    const region = await file.finish();
    const variant = required(target.variants[0], "variant");
    const program = planProgram({ graph, limits, target, variant, weights, weightBytes: region.bytes });
    checkMemory(program, target, options);
    const wantsWat = options.emit?.includes("wat") ?? false;
    const code = target.variants.map((each) => ({ variant: each, code: target.emit(program, each, { text: wantsWat }) }));
    const files = await copyModelFiles(model.files, folder);
    const manifest = buildManifest({ model, options, program, target, weights, region, constants, files, code });
    for (const { code: emitted } of code) await writeFile(join(folder, emitted.path), emitted.binary);
    for (const { path, text } of packageFiles(manifest, { license: files.license })) await writeFile(join(folder, path), text);
    await copyRuntime(folder);
    await writeStages(folder, options.emit ?? [], { draft: { graph }, program, code: code.map((each) => each.code) });
    return { program, manifest };
  } finally {
    await file.close();
  }
}

/** Copies what travels with the model; returns the names in the artefact. */
async function copyModelFiles(files: ModelFiles, folder: string): Promise<Readonly<Record<keyof ModelFiles, string | null>>> {
  const copy = async (path: string | null): Promise<string | null> => {
    if (path === null) return null;
    await copyFile(path, join(folder, basename(path)));
    return basename(path);
  };
  return {
    tokenizer: await copy(files.tokenizer),
    tokenizerConfig: await copy(files.tokenizerConfig),
    chatTemplate: await copy(files.chatTemplate),
    generationConfig: await copy(files.generationConfig),
    license: await copy(files.license),
  };
}

/** The built runtime and its types, beside the compiled compiler, or in `dist/` where the compiler runs from source. */
async function copyRuntime(folder: string): Promise<void> {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const dist of [join(here, ".."), join(here, "..", "dist")]) {
    const bundle = join(dist, "runtime.js");
    const isBuilt = await stat(bundle).then(
      () => true,
      () => false,
    );
    if (!isBuilt) continue;
    await copyFile(bundle, join(folder, "runtime.js"));
    await cp(join(dist, "runtime"), join(folder, "types"), { recursive: true, filter: (path) => !path.endsWith(".js") });
    return;
  }
  throw new LfmcError("io/missing", "is not built", { subject: "dist/runtime.js", hint: "run npm run build" });
}

/** `--emit`: stages as text files in the artefact. */
async function writeStages(
  folder: string,
  stages: readonly EmitStage[],
  { draft, program, code }: { draft: Pick<Draft, "graph">; program: Program; code: readonly EmittedCode[] },
): Promise<void> {
  const texts: Readonly<Record<EmitStage, () => readonly (readonly [path: string, text: string])[]>> = {
    graph: () => [["graph.txt", printGraph(draft.graph)]],
    kernels: () => [["kernels.txt", program.kernels.map((kernel) => printKernel(kernel)).join("\n")]],
    plan: () => [["plan.txt", printPlan(program)]],
    wat: () => code.map(({ path, text }) => [path.replace(/\.wasm$/, ".wat"), text] as const),
  };
  for (const stage of stages) for (const [path, text] of texts[stage]()) await writeFile(join(folder, path), text);
}

