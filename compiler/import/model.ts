/**
 * Opens a model for compilation: config, graph, weights and the files that travel with them, all checked against each other. Nothing
 * after this stage looks at the model's folder again except through the store and `files`.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { LfmcError } from "../errors.ts";
import type { Graph } from "../graph/types.ts";
import { parseConfig, type ModelConfig, type SpecialTokens } from "./config.ts";
import { greedy, parseGenerationConfig, type GenerationConfig, type SamplingDefaults } from "./generation-config.ts";
import { readJson } from "./json-file.ts";
import { buildGraph } from "./lfm2.ts";
import { fileOfJson, fileOnDisk, readModelJson, type ModelFile } from "./model-file.ts";
import { randomWeights } from "./random-weights.ts";
import { openCheckpoint } from "./safetensors.ts";
import { checkTensors, expectedTensors, expertLayout } from "./tensor-names.ts";
import type { WeightStore } from "./weight-store.ts";

export interface ImportOptions {
  /** Seed of generated weights; those in the folder, if any, are then not looked at. */
  readonly randomWeights?: number | undefined;
  /** Where no weight will be read: the shapes of the weights in the folder, or of generated ones where it has none. */
  readonly needsShapesAlone?: boolean | undefined;
}

/** Files that the artefact takes along; null where the model has none. */
export interface ModelFiles {
  readonly tokenizer: ModelFile | null;
  readonly tokenizerConfig: ModelFile | null;
  readonly chatTemplate: ModelFile | null;
  readonly generationConfig: ModelFile | null;
  readonly license: ModelFile | null;
}

export interface ImportedModel {
  /** The folder's name, or the GGUF file's without its ending, in [A-Za-z0-9_.-]. */
  readonly name: string;
  readonly config: ModelConfig;
  readonly sampling: SamplingDefaults;
  /** Of `generation_config.json`, else of `config.json`. */
  readonly tokens: SpecialTokens;
  readonly graph: Graph;
  /** To be closed by the caller. */
  readonly store: WeightStore;
  readonly warnings: readonly string[];
  readonly files: ModelFiles;
}

/**
 * Imports the model at `path`: a folder with a `config.json`, a config file with its weights beside it, or a GGUF file. Throws `io/*`,
 * `config/*`, `weights/*`, `safetensors/*` and `gguf/*`.
 */
export async function importModel(path: string, options: ImportOptions = {}): Promise<ImportedModel> {
  return path.toLowerCase().endsWith(".gguf") ? await importGguf(path, options) : await importFolder(path, options);
}

async function importFolder(path: string, options: ImportOptions): Promise<ImportedModel> {
  const configPath = await findConfig(path);
  const folder = dirname(configPath);
  const { config, warnings } = parseConfig(await readJson(configPath), configPath);
  const files = await findFiles(folder);
  const generation = await readGeneration(files.generationConfig, config);
  const name = modelName(folder);
  const { store, graph, unused } = await openStore(folder, configPath, config, options, name);
  return {
    name,
    config,
    sampling: generation.sampling,
    tokens: generation.tokens,
    graph,
    store,
    warnings: [...warnings, ...generation.warnings, ...unused],
    files,
  };
}

async function importGguf(path: string, { randomWeights: seed }: ImportOptions): Promise<ImportedModel> {
  // The parser takes a fifth of the time in which the command line starts, so only who needs it loads it.
  const { openGguf } = await import("./gguf/model.ts");
  const gguf = await openGguf(path);
  try {
    const { config, warnings } = parseConfig(gguf.config, path);
    const { warnings: tokenizerWarnings, ...tokenizerFiles } = gguf.tokenizerOf(config);
    const generationConfig = gguf.generation && fileOfJson("generation_config.json", path, gguf.generation);
    const generation = await readGeneration(generationConfig, config);
    const expected = expectedTensors(config, "separate");
    const unused = seed === undefined ? checkTensors(expected, gguf.store, gguf.store.unknown, "the metadata") : [];
    const name = legalName(gguf.name);
    if (seed !== undefined) await gguf.store.close();
    return {
      ...{ name, config, sampling: generation.sampling, tokens: generation.tokens },
      graph: buildGraph(config, "separate", name),
      store: seed === undefined ? gguf.store : randomWeights(expected, seed),
      warnings: [...warnings, ...gguf.warnings, ...tokenizerWarnings, ...generation.warnings, ...unused],
      files: { ...tokenizerFiles, chatTemplate: null, generationConfig, license: null },
    };
  } catch (error) {
    await gguf.store.close();
    throw error;
  }
}

/** The folder's base name as a legal name. */
export function modelName(folder: string): string {
  return legalName(basename(resolve(folder)));
}

/** A name with other characters than [A-Za-z0-9_.-] made dashes. */
function legalName(text: string): string {
  const name = text.replace(/[^A-Za-z0-9_.-]+/g, "-");
  return /[A-Za-z0-9]/.test(name) ? name.replace(/^[.-]+/, "") : "model";
}

async function findConfig(path: string): Promise<string> {
  const hint = "give a model's folder, its config.json, or a .gguf file";
  const found = await stat(path).catch((cause: unknown) => {
    throw new LfmcError("io/missing", "does not exist", { subject: path, hint, cause });
  });
  if (found.isDirectory()) {
    const config = join(path, "config.json");
    if (await exists(config)) return config;
    throw new LfmcError("io/missing", "holds no config.json", { subject: path, hint });
  }
  if (path.endsWith(".json")) return path;
  throw new LfmcError("config/unsupported", "is not a model", { subject: path, hint });
}

interface OpenedWeights {
  readonly store: WeightStore;
  readonly graph: Graph;
  /** Warnings about tensors that the model does not use. */
  readonly unused: readonly string[];
}

/** The weights, and the graph that reads them in the layout they have. Files are closed again if anything is wrong with them. */
async function openStore(
  folder: string,
  configPath: string,
  config: ModelConfig,
  { randomWeights: seed, needsShapesAlone = false }: ImportOptions,
  name: string,
): Promise<OpenedWeights> {
  const store = seed === undefined ? await openCheckpoint(folder) : null;
  if (!store && (seed !== undefined || needsShapesAlone)) {
    const generated = randomWeights(expectedTensors(config, "separate"), seed ?? 0);
    return { store: generated, graph: buildGraph(config, "separate", name), unused: [] };
  }
  if (!store) {
    const hint = "put model.safetensors beside it, or pass --random-weights SEED to compile the shape alone";
    throw new LfmcError("weights/missing", "has no weights beside it", { subject: configPath, hint });
  }
  try {
    const layout = expertLayout(store.tensors);
    const unused = checkTensors(expectedTensors(config, layout), store, store.unreadable);
    return { store, graph: buildGraph(config, layout, name), unused };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function readGeneration(file: ModelFile | null, config: ModelConfig): Promise<GenerationConfig> {
  if (file === null) return { sampling: greedy, tokens: config.tokens, warnings: [] };
  return parseGenerationConfig(await readModelJson(file), config.tokens, config.vocabSize, file.path);
}

async function findFiles(folder: string): Promise<ModelFiles> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [] : [entry.name])).toSorted();
  const find = (pattern: RegExp): ModelFile | null => {
    const name = names.find((candidate) => pattern.test(candidate));
    return name === undefined ? null : fileOnDisk(join(folder, name));
  };
  return {
    tokenizer: find(/^tokenizer\.json$/),
    tokenizerConfig: find(/^tokenizer_config\.json$/),
    chatTemplate: find(/^chat_template\.jinja$/),
    generationConfig: find(/^generation_config\.json$/),
    license: find(/^licen[cs]e(\.(txt|md))?$/i),
  };
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
