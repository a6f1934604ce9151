/**
 * From an artefact to a model. The artefact's parts come from its folder (`base`), or one by one from the caller where the host has
 * no folder: an edge worker passes the module it imported and a way to its weights.
 */
import { type ChatTemplate, createChatTemplate, templateTokens } from "./chat-template.ts";
import type { Engine } from "./engine.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { type VariantWish, detectFeatures, selectVariant, threadCount } from "./features.ts";
import { createHash, sha256 } from "./hash.ts";
import { loadLibrary } from "./load-library.ts";
import type { Manifest, Variant } from "./manifest.ts";
import { parseManifest } from "./manifest-parse.ts";
import { type Model, createModel } from "./model.ts";
import { type ArtefactSource, responseBytes, urlSource } from "./sources.ts";
import { type Tokenizer, createTokenizer } from "./tokenizer.ts";
import { hostSharesMemory, mostThreads } from "./threads.ts";
import { compileModule, createMemory, instantiate, instantiateThreads } from "./wasm-engine.ts";
import { type WeightsInput, compareHashes, loadWeights, partsOfInput, partsOfSource } from "./weights.ts";

export interface LoadProgress {
  readonly phase: "module" | "weights" | "ready";
  /** Of the weights. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface LoadOptions extends VariantWish {
  /** The artefact's folder; a URL that ends in a slash. */
  readonly base?: URL | undefined;
  /** The artefact's files from elsewhere, in place of `base`. */
  readonly source?: ArtefactSource | undefined;
  /** Parsed manifest.json, in place of the file. */
  readonly manifest?: unknown;
  /** The module of the chosen variant, in place of the file. */
  readonly module?: WebAssembly.Module | Response | URL | undefined;
  /** The script of a threaded module's workers, in place of the artefact's `thread.js`. */
  readonly thread?: URL | undefined;
  /** The built library of a C artefact, in place of the file in its folder `build`; a file: URL. */
  readonly library?: URL | undefined;
  /** The weights, in place of the files; of a C artefact, a file: URL of the folder that holds them. */
  readonly weights?: WeightsInput | undefined;
  /** Parsed tokenizer.json and tokenizer_config.json, in place of the files; null for no tokenizer. */
  readonly tokenizer?: { readonly json: unknown; readonly config?: unknown } | null | undefined;
  /** The source of the chat template, in place of the file; null for none. */
  readonly chatTemplate?: string | null | undefined;
  /**
   * Check the sha256 of the module and, as they arrive, of the weights. By default where the host hashes in place while it reads (Node, Deno,
   * Bun), but not of a C artefact, whose weights are mapped, not read. Lengths are always checked.
   */
  readonly verify?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/**
 * Loads a model. Throws `io/…` for what cannot be read, `artefact/…` for what does not hold together, `run/variant` and `run/memory` for a
 * host that lacks something, `run/aborted`.
 */
export async function load(options: LoadOptions): Promise<Model> {
  try {
    throwIfAborted(options.signal, "load");
    return await loadParts(options);
  } catch (error) {
    if (!(error instanceof LfmcError)) throwIfAborted(options.signal, "load");
    throw error;
  }
}

async function loadParts(options: LoadOptions): Promise<Model> {
  const begin = performance.now();
  const source = options.source ?? (options.base ? urlSource(options.base) : noSource);
  const manifest = parseManifest(options.manifest ?? (await readJson(source, "manifest.json", options.signal)));
  const totalBytes = manifest.memory.weights.bytes;
  const report: Report = (phase, loadedBytes) => options.onProgress?.({ phase, loadedBytes, totalBytes });
  report("module", 0);
  const loadEngine = manifest.target === "wasm-simd" ? loadModule : loadLibrary;
  const [{ engine, variant, threads }, tokenizer, templateSource] = await Promise.all([
    loadEngine(manifest, source, options, report),
    openTokenizer(manifest, source, options),
    readTemplate(manifest, source, options),
  ]);
  report("ready", totalBytes);
  const chatTemplate: ChatTemplate | null =
    templateSource === null ? null : createChatTemplate(templateSource, templateTokens(manifest, tokenizer));
  return createModel({ manifest, engine, tokenizer, chatTemplate, variant, threads, loadSeconds: (performance.now() - begin) / 1000 });
}

type Report = (phase: LoadProgress["phase"], loadedBytes: number) => void;

/** What an artefact's code and weights become. */
export interface LoadedEngine {
  readonly engine: Engine;
  readonly variant: Variant;
  readonly threads: number;
}

async function loadModule(manifest: Manifest, source: ArtefactSource, options: LoadOptions, report: Report): Promise<LoadedEngine> {
  const { base, thread = base && new URL("thread.js", base) } = options;
  const wished = threadCount(options, mostThreads);
  // A host that cannot share memory runs one thread; an artefact without threads refuses more by itself.
  const isShared = thread !== undefined && hostSharesMemory();
  const threads = isShared || !manifest.variants.some((variant) => variant.threads) ? wished : 1;
  const variant = selectVariant(manifest.variants, detectFeatures(), { ...options, threads });
  const memory = createMemory(manifest, variant, threads);
  const place = { subject: variant.module, memory, module: await openModule(variant, source, options) };
  const opening = variant.threads && thread ? instantiateThreads(place, thread, threads) : instantiate(place);
  const weights = openWeights(manifest, memory, source, options, (bytes) => {
    report("weights", bytes);
  });
  try {
    const [engine] = await Promise.all([opening, weights]);
    return { engine, variant, threads };
  } catch (error) {
    void opening.then((engine) => engine.close?.()).catch(() => undefined);
    throw error;
  }
}

async function openModule(variant: Variant, source: ArtefactSource, options: LoadOptions): Promise<WebAssembly.Module> {
  const { module, signal } = options;
  if (module instanceof WebAssembly.Module) return module;
  const bytes = await moduleBytes(variant, source, module, signal);
  if (bytes.length !== variant.bytes) {
    throw new LfmcError("artefact/mismatch", `has ${bytes.length} bytes, the manifest says ${variant.bytes}`, {
      subject: variant.module,
      hint: "The file was cut short or belongs to another artefact; copy or compile it again.",
    });
  }
  if (verifies(options)) compareHashes(variant.module, await sha256(bytes), variant.sha256);
  return compileModule(variant.module, bytes);
}

async function moduleBytes(
  variant: Variant,
  source: ArtefactSource,
  module: Response | URL | undefined,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (module === undefined) return source.read(variant.module, signal);
  if (module instanceof URL) return urlSource(module).read(module.href, signal);
  const pieces: Uint8Array[] = [];
  for await (const piece of responseBytes(module, variant.module)) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces.map((piece) => new Uint8Array(piece))).arrayBuffer());
}

async function openWeights(
  manifest: Manifest,
  memory: WebAssembly.Memory,
  source: ArtefactSource,
  options: LoadOptions,
  onBytes: (loadedBytes: number) => void,
): Promise<void> {
  const { offset, bytes } = manifest.memory.weights;
  const { weights } = options;
  const from =
    weights === undefined || weights instanceof URL
      ? partsOfSource(weights ? urlSource(weights) : source)
      : partsOfInput(weights, manifest.weights.length);
  const target = new Uint8Array(memory.buffer, offset, bytes);
  await loadWeights(manifest.weights, target, from, { verify: verifies(options), signal: options.signal, onBytes });
}

function verifies({ verify }: LoadOptions): boolean {
  return verify ?? createHash() !== null;
}

async function openTokenizer(manifest: Manifest, source: ArtefactSource, options: LoadOptions): Promise<Tokenizer | null> {
  const { tokenizer, signal } = options;
  const { bos } = manifest.tokens;
  if (tokenizer === null) return null;
  if (tokenizer) return createTokenizer(tokenizer.json, tokenizer.config, bos);
  const { tokenizer: json, tokenizerConfig: config } = manifest.files;
  if (json === null) return null;
  return createTokenizer(await readJson(source, json, signal), config === null ? {} : await readJson(source, config, signal), bos);
}

/** The source of the chat template; null where the model has none, or where the caller gave the artefact's parts one by one without it. */
async function readTemplate(manifest: Manifest, source: ArtefactSource, options: LoadOptions): Promise<string | null> {
  const { chatTemplate: path } = manifest.files;
  if (options.chatTemplate !== undefined) return options.chatTemplate;
  if (path === null || source === noSource) return null;
  return new TextDecoder().decode(await source.read(path, options.signal));
}

async function readJson(source: ArtefactSource, path: string, signal: AbortSignal | undefined): Promise<unknown> {
  const text = new TextDecoder().decode(await source.read(path, signal));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new LfmcError("artefact/invalid", "is not JSON", {
      subject: path,
      hint: "The file was altered; copy or compile the artefact again.",
      cause,
    });
  }
}

/** Stands in where the caller names no folder: whatever is not given is missing. */
const noSource: ArtefactSource = {
  read: (path) => Promise.reject(notGiven(path)),
  stream: (path) => {
    throw notGiven(path);
  },
};

function notGiven(path: string): LfmcError {
  return new LfmcError("io/missing", "is not given, and neither is the artefact's folder", {
    subject: path,
    hint: "Pass `base`, or `manifest`, `module`, `weights`, `tokenizer` and `chatTemplate` (null for none).",
  });
}
