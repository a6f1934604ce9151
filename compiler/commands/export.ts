/** `lfmc export`: a model to a GGUF file, for llama.cpp and its kin. */
import { fstatSync, statSync } from "node:fs";
import { Command } from "commander";
import { chatTemplateOf, checkTokenizer } from "../artefact/model-files.ts";
import { planExport, type ExportPlan } from "../export/export-model.ts";
import { tensorBytes, writeGguf } from "../export/gguf-file.ts";
import type { TokenizerFiles } from "../export/tokenizer-metadata.ts";
import type { Graph } from "../graph/types.ts";
import { readModelJson } from "../import/model-file.ts";
import { importModel, type ModelFiles } from "../import/model.ts";
import type { NumericOptions } from "../options.ts";
import { preparedGraph } from "../pipeline.ts";
import { budgetFormats } from "../quantize/index.ts";
import { refineModel } from "../refine.ts";
import { wholeNumber } from "./flags.ts";
import { addRefinementFlags, addWeightFlags, type NumericFlags } from "./numeric-flags.ts";
import { print, progress, progressBar, warn } from "./report.ts";
import { writeAside } from "./write-whole.ts";

type Flags = Omit<ExportOptions, "model" | "onProgress" | "tensorTypes"> & NumericFlags & { readonly json?: boolean };

export function exportCommand(): Command {
  const command = new Command("export")
    .description("write a model as a GGUF file, which llama.cpp reads")
    .argument("<model>", "a model's folder, its config.json, or a GGUF file")
    .requiredOption("-o, --output <file>", "the file to write: NAME.gguf")
    .option("--name <name>", "what the file calls the model (default: the folder's or the file's name)")
    .option("--random-weights <seed>", "export the shape alone, with generated weights", wholeNumber())
    .option("--json", "print the result as JSON");
  return addRefinementFlags(addWeightFlags(command)).action(exportModel);
}

async function exportModel(model: string, { json, tensorType, ...flags }: Flags): Promise<void> {
  const intoStdout = isStdout(flags.output);
  const result = await exportGguf({
    ...flags,
    ...(tensorType === undefined ? {} : { tensorTypes: tensorType }),
    model,
    onProgress: progressBar,
  });
  progress(null);
  warn(result.warnings);
  const summary = json ? JSON.stringify(result, null, 2) : describe(result);
  // Where stdout is the file, the summary would end up in it.
  if (intoStdout) process.stderr.write(`${summary}\n`);
  else print(summary);
}

function isStdout(path: string): boolean {
  const [file, stdout] = [statSync(path, { throwIfNoEntry: false }), fstatSync(1)];
  return file?.ino === stdout.ino && file.dev === stdout.dev && !file.isCharacterDevice();
}

export interface ExportOptions extends NumericOptions {
  /** A model's folder, its config.json or a GGUF file. */
  readonly model: string;
  /** The file to write. */
  readonly output: string;
  /** What the file calls the model; by default its name. */
  readonly name?: string;
  /** Seed: export the shape with generated weights. */
  readonly randomWeights?: number;
  /** Called as tensors are written: `done` of `total` bytes. */
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

/** What `--json` prints. */
export interface ExportResult {
  readonly output: string;
  readonly name: string;
  readonly weightBytes: number;
  /** How many tensors have each type. */
  readonly tensors: Readonly<Record<string, number>>;
  /** What was done with the types of the model's own file. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

/** Formats for which a file has a type of their size. */
const ownFormats = budgetFormats.filter(({ name }) => name !== "q3_0");

/**
 * Writes a model as a GGUF file: whole, or not at all. Throws what importing does, config/unsupported for what such a file cannot say,
 * usage/flag, io/unreadable.
 */
export async function exportGguf({
  model: path,
  output,
  name,
  randomWeights,
  onProgress,
  ...numerics
}: ExportOptions): Promise<ExportResult> {
  const model = await importModel(path, { randomWeights });
  try {
    await checkTokenizer(model);
    const refined = await refineModel(model, numerics, ({ stage, done, total }) => onProgress?.(stage, done, total), ownFormats);
    const { graph, warnings, notes } = preparedGraph(refined, numerics);
    const tokenizer = await tokenizerOf(model.files);
    const plan = planExport({ model: refined, tokenizer, graph, name: name ?? model.name });
    const weightBytes = await write(output, plan, onProgress);
    return {
      output,
      name: name ?? model.name,
      weightBytes,
      tensors: countsOf(plan.tensors),
      notes: [...notes, ...typeNotes(graph)],
      warnings: [...refined.warnings, ...warnings, ...plan.warnings, ...nameWarnings(output)],
    };
  } finally {
    await model.store.close();
  }
}

/** The model's tokenizer and chat template; null where it has none. */
async function tokenizerOf(files: ModelFiles): Promise<TokenizerFiles | null> {
  const { tokenizer, tokenizerConfig } = files;
  if (tokenizer === null) return null;
  const config = tokenizerConfig === null ? null : await readModelJson(tokenizerConfig);
  return { path: tokenizer.path, json: await readModelJson(tokenizer), config, chatTemplate: await chatTemplateOf(files) };
}

/** Returns the bytes of the tensors. */
async function write(output: string, { metadata, tensors }: ExportPlan, onProgress: ExportOptions["onProgress"]): Promise<number> {
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  let done = 0;
  await writeAside(output, (file) =>
    writeGguf(file, metadata, tensors, (bytes, tensor) => {
      done += bytes;
      onProgress?.(`writing ${tensor}`, done, total);
    }),
  );
  return total;
}

function nameWarnings(output: string): readonly string[] {
  return output.toLowerCase().endsWith(".gguf")
    ? []
    : [`${output}: programs that read such files, lfmc too, want a name that ends in .gguf`];
}

/** What the file has no type of its own for. */
function typeNotes(graph: Graph): readonly string[] {
  const has = graph.constants.some(({ type }) => type.encoding === "q3_0");
  return has ? ["q3_0: the same numbers in Q4_0, the smallest type that holds them"] : [];
}

function describe({ output, name, weightBytes, tensors, notes }: ExportResult): string {
  const counts = Object.entries(tensors).map(([type, count]) => `${count} in ${type}`);
  return [`${output}: ${name}, ${weightBytes} bytes of weights, tensors: ${counts.join(", ")}`, ...notes].join("\n");
}

function countsOf(tensors: ExportPlan["tensors"]): Readonly<Record<string, number>> {
  const names = [...new Set(tensors.map(({ type }) => type.name))];
  return Object.fromEntries(names.map((name) => [name, tensors.filter(({ type }) => type.name === name).length]));
}
