/**
 * The compiler's public API: `compile(options)` takes a model to an artefact. This is the composition root, the one place that knows
 * the stages, the targets and the artefact's files.
 */
import { copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { EmittedCode, Target, TargetVariant } from "../targets/target.ts";
import type { Manifest, WeightPart } from "../runtime/manifest.ts";
import { bindingFiles } from "./artefact/bindings.ts";
import { builtRuntime, runtimeBundles } from "./artefact/built-runtime.ts";
import { chatTemplateOf, checkTokenizer, copyModelFiles, templateWarnings } from "./artefact/model-files.ts";
import { writeAside } from "./artefact/output-folder.ts";
import { createWeightFile } from "./artefact/weight-file.ts";
import { LfmcError, required } from "./errors.ts";
import { printGraph } from "./graph/print.ts";
import type { Graph } from "./graph/types.ts";
import { importModel, type ImportedModel } from "./import/model.ts";
import { printKernel } from "./kernel/print.ts";
import { buildManifest, manifestFile, withSources } from "./artefact/manifest.ts";
import { checkEmbedded, checkOptions, packageName, type CompileOptions, type EmitStage } from "./options.ts";
import { draftPrograms, memoryOf, packWeights, planPrograms, verifyKernels, type Draft, type VariantProgram } from "./pipeline.ts";
import { printPlan } from "./plan/print.ts";
import type { Program } from "./plan/program.ts";
import { refineModel } from "./refine.ts";
import { chosenVariants, loadTunedTarget } from "./targets.ts";

export { LfmcError } from "./errors.ts";
export { packageVersion } from "./artefact/manifest.ts";
export type { CompileOptions, EmitStage } from "./options.ts";
export type { Manifest } from "../runtime/manifest.ts";

export interface CompileResult {
  /** The artefact's memory, as its manifest has it; of a dry run too. */
  readonly memory: Manifest["memory"];
  /** The plan of each variant; of a dry run too. */
  readonly programs: readonly VariantProgram[];
  readonly warnings: readonly string[];
  /** What became of the types in which the checkpoint holds its tensors, and what was chosen for them: lines to print. */
  readonly notes: readonly string[];
  /** What was written; null for a dry run. */
  readonly artefact: { readonly folder: string; readonly manifest: Manifest } | null;
}

/** Compiles a model. Throws LfmcError where the input is at fault; then nothing was written. */
export async function compile(options: CompileOptions): Promise<CompileResult> {
  checkOptions(options);
  const target = chosenVariants(await loadTunedTarget(options.target, options.tuned), options);
  checkWeightFiles(options, target);
  const { randomWeights, dryRun, budget } = options;
  const imported = await importModel(options.model, { randomWeights, needsShapesAlone: dryRun && budget === undefined });
  try {
    const { calibrate: _, ...shapes } = options;
    const model = await refineModel(imported, dryRun && budget === undefined ? shapes : options, options.onProgress);
    const draft = draftPrograms(model, target, options);
    const { notes } = draft;
    const warnings = [...model.warnings, ...draft.warnings];
    checkEmbedded(options, draft.memory.weights.bytes);
    const { output } = options;
    if (dryRun || output === undefined) return { programs: draft.programs, memory: draft.memory, warnings, notes, artefact: null };
    checkName(artefactName(model, options), target);
    await checkTokenizer(model);
    const { programs, manifest } = await writeAside(output, (folder) => writeArtefact(folder, model, draft, target, options));
    const allWarnings = [...warnings, ...(await templateWarnings(model.files))];
    return { programs, memory: manifest.memory, warnings: allWarnings, notes, artefact: { folder: output, manifest } };
  } finally {
    await imported.store.close();
  }
}

function artefactName(model: ImportedModel, { name }: CompileOptions): string {
  return name ?? packageName(model.name);
}

/** Refuses what a target whose weights are one file cannot do with them. */
function checkWeightFiles({ shardSize, embedWeights }: CompileOptions, { weights, name }: Target): void {
  if (typeof weights.path !== "string") return;
  const refused = (subject: string, hint: string): LfmcError =>
    new LfmcError("usage/flag", `does not go with --target ${name}, whose weights are one file`, { subject, hint });
  if (shardSize !== undefined) throw refused("--shard-size", "leave it out");
  if (embedWeights)
    throw refused("--embed-weights", "leave it out, and build with make LINKED_WEIGHTS=1: it links the weights into the library");
}

function checkName(name: string, { takenNames, name: target }: Target): void {
  if (!takenNames.has(name.toLowerCase())) return;
  throw new LfmcError("usage/flag", `"${name}" is a name that files or headers of --target ${target} have already`, {
    subject: "--name",
    hint: "give the artefact another name: --name NAME (by default it is the model folder's)",
  });
}

async function writeArtefact(
  folder: string,
  model: ImportedModel,
  draft: Draft,
  target: Target,
  options: CompileOptions,
): Promise<{ programs: readonly VariantProgram[]; manifest: Manifest }> {
  const { graph, limits, constants } = draft;
  const file = createWeightFile(folder, target.weights, options.embedWeights ? Infinity : (options.shardSize ?? target.weights.partBytes));
  try {
    const weights = await packWeights(constants, model.store, file, options.onProgress);
    const packed = await file.finish();
    const embedded = options.embedWeights ? await takeBack(folder, packed.parts) : undefined;
    const region = embedded ? { ...packed, parts: [] } : packed;
    const programs = planPrograms({ graph, limits, target, weights, weightBytes: region.bytes });
    const memory = memoryOf(programs, target, options.maxMemory);
    verifyKernels(programs);
    const text = options.emit?.includes("wat") ?? false;
    const name = artefactName(model, options);
    const code = programs.map(({ variant, program }) => ({
      variant,
      code: target.emit(program, variant, { memoryBytes: memory.bytes, text, name, weights: embedded }),
    }));
    const files = await copyModelFiles(model.files, folder);
    const unsealed = buildManifest({ model, name, draft, programs, memory, target, weights, region, files, code });
    for (const { code: emitted } of code) await writeFile(join(folder, emitted.path), emitted.pieces);
    const chatTemplate = await chatTemplateOf(model.files);
    const { python = false } = options;
    const packaged = target.files({ manifest: unsealed, license: files.license, chatTemplate, weightsHash: region.sha256, python });
    const manifest = withSources(unsealed, packaged);
    const texts = [...packaged, manifestFile(manifest), ...(await bindingFiles(manifest))];
    for (const { path, text } of texts) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    await copyRuntime(folder, manifest);
    await writeStages(folder, options.emit ?? [], { graph, programs, code: code.map((each) => each.code) });
    return { programs, manifest };
  } finally {
    await file.close();
  }
}

/** The weights that were packed into a single part, whose folder goes. */
async function takeBack(folder: string, parts: readonly WeightPart[]): Promise<Uint8Array> {
  const path = join(folder, required(parts[0], "weights").path);
  const bytes = await readFile(path);
  await rm(dirname(path), { recursive: true });
  return bytes;
}

/** The built runtime's bundles and its types. */
async function copyRuntime(folder: string, manifest: Manifest): Promise<void> {
  const dist = await builtRuntime();
  for (const [name, bundle] of runtimeBundles(manifest)) await copyFile(join(dist, bundle), join(folder, name));
  await cp(join(dist, "runtime"), join(folder, "types"), { recursive: true, filter: (path) => !path.endsWith(".js") });
}

/** A variant's name; `-threads` after it where it shares that with the variant of one thread. */
function stageName({ name, threads }: TargetVariant, programs: readonly VariantProgram[]): string {
  return threads && programs.some(({ variant }) => variant.name === name && !variant.threads) ? `${name}-threads` : name;
}

/** `--emit`: stages as text files in the artefact; those that variants differ in carry the variant's name. */
async function writeStages(
  folder: string,
  stages: readonly EmitStage[],
  { graph, programs, code }: { graph: Graph; programs: readonly VariantProgram[]; code: readonly EmittedCode[] },
): Promise<void> {
  const ofVariants = (stage: string, text: (program: Program) => string) =>
    programs.map(({ variant, program }) => ({ path: `${stage}.${stageName(variant, programs)}.txt`, text: text(program) }));
  const files: Readonly<Record<EmitStage, () => readonly { path: string; text: string }[]>> = {
    graph: () => [{ path: "graph.txt", text: printGraph(graph) }],
    kernels: () => ofVariants("kernels", ({ kernels }) => kernels.map((kernel) => printKernel(kernel)).join("\n")),
    plan: () => ofVariants("plan", printPlan),
    wat: () => code.map(({ path, text }) => ({ path: path.replace(/\.wasm$/, ".wat"), text })),
  };
  for (const stage of stages) for (const { path, text } of files[stage]()) await writeFile(join(folder, path), text);
}
