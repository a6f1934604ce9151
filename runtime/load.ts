/**
 * From an artefact to a model, whatever its code is. The artefact's parts come from its folder (`base`), or one by one from the caller
 * where the host has no folder: an edge worker passes the module it imported and a way to its weights.
 */
import { untilAborted } from "./abort.ts";
import type { CacheWish } from "./cache/piece-store.ts";
import type { Engine } from "./engine.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import type { VariantWish } from "./features.ts";
import type { Manifest, Variant } from "./manifest.ts";
import { parseManifest } from "./manifest-parse.ts";
import { type Model, createModel } from "./model.ts";
import { type ArtefactSource, urlSource } from "./sources.ts";
import { type Tokenizer, createTokenizer } from "./tokenizer.ts";
import type { WeightsInput } from "./weights.ts";

/** How far `load` has come. */
export interface LoadProgress {
  /** What comes now: the code, the weights, or nothing more. */
  readonly phase: "module" | "weights" | "ready";
  /** Of the weights. */
  readonly loadedBytes: number;
  /** The same, once all are there. */
  readonly totalBytes: number;
}

/** A module's bytes, or where they are. */
export type ModuleBytes = Response | URL | Uint8Array | ArrayBuffer;
/** A module, compiled or as its bytes. */
export type ModuleInput = WebAssembly.Module | ModuleBytes;

/** Gives the module of a variant. */
export type ModuleFunction = (variant: Variant) => ModuleInput | Promise<ModuleInput>;

export interface LoadOptions extends VariantWish {
  /** The artefact's folder; a URL that ends in a slash. */
  readonly base?: URL | undefined;
  /** The artefact's files from elsewhere, in place of `base`. */
  readonly source?: ArtefactSource | undefined;
  /** Parsed manifest.json, in place of the file. */
  readonly manifest?: unknown;
  /**
   * A module of the artefact, in place of a file of it: that variant is run. Or a function that gives the module of the variant that suits
   * the engine.
   */
  readonly module?: ModuleInput | ModuleFunction | undefined;
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
   * Check the sha256 of the module and, as they arrive, of the weights. By default wherever the host can, but not of a C artefact, whose
   * weights are mapped, not read. Lengths are always checked. Throws `run/variant` where it is wished for and the host cannot.
   */
  readonly verify?: boolean | undefined;
  /**
   * Where a page keeps the weights between loads, in pieces by their sha256: a load that was cut short goes on where it stopped. By
   * default in the origin private file system, else by the Cache API, where the host has no files and the artefact comes by http(s).
   */
  readonly cache?: CacheWish | undefined;
  /** Ends the load at once, with `run/aborted`; all that was read is let go of. */
  readonly signal?: AbortSignal | undefined;
  /** Is told of every phase, and of the weights as they come. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** How an artefact's code becomes an engine with the weights in its memory. */
export type EngineLoader = (
  manifest: Manifest,
  source: ArtefactSource,
  options: LoadOptions,
  onBytes: (loadedBytes: number) => void,
) => Promise<LoadedEngine>;

/** What an artefact's code and weights become. */
export interface LoadedEngine {
  readonly engine: Engine;
  readonly variant: Variant;
  readonly threads: number;
}

/**
 * Loads a model whose engine `loadEngine` makes. Throws `io/…` for what cannot be read, `artefact/…` for what does not hold together,
 * `run/variant` and `run/memory` for a host that lacks something, `run/aborted`.
 */
export async function loadWith(loadEngine: EngineLoader, options: LoadOptions): Promise<Model> {
  const { signal } = options;
  const loading = new AbortController();
  const abort = (): void => {
    loading.abort(signal?.reason);
  };
  signal?.addEventListener("abort", abort, { once: true });
  try {
    throwIfAborted(signal, "load");
    return await loadParts(loadEngine, { ...options, signal: loading.signal });
  } catch (error) {
    // Where one part fails, the others are on their way still.
    loading.abort(error);
    if (!(error instanceof LfmcError)) throwIfAborted(signal, "load");
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function loadParts(loadEngine: EngineLoader, options: LoadOptions): Promise<Model> {
  const begin = performance.now();
  const source = options.source ?? (options.base ? urlSource(options.base) : noSource);
  const manifest = parseManifest(options.manifest ?? (await readJson(source, "manifest.json", options.signal)));
  const totalBytes = manifest.memory.weights.bytes;
  const report = (phase: LoadProgress["phase"], loadedBytes: number): void => {
    if (!options.signal?.aborted) options.onProgress?.({ phase, loadedBytes, totalBytes });
  };
  report("module", 0);
  const opening = loadEngine(manifest, source, options, (loadedBytes) => {
    report("weights", loadedBytes);
  });
  try {
    const [{ engine, variant, threads }, tokenizer, chatTemplate] = await Promise.all([
      opening,
      openTokenizer(manifest, source, options),
      readTemplate(manifest, source, options),
    ]);
    report("ready", totalBytes);
    return createModel({ manifest, engine, tokenizer, chatTemplate, variant, threads, loadSeconds: (performance.now() - begin) / 1000 });
  } catch (error) {
    void opening.then(
      ({ engine }) => engine.close?.(),
      () => undefined,
    );
    throw error;
  }
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
  return new TextDecoder().decode(await untilAborted(source.read(path, options.signal), options.signal, path));
}

async function readJson(source: ArtefactSource, path: string, signal: AbortSignal | undefined): Promise<unknown> {
  const text = new TextDecoder().decode(await untilAborted(source.read(path, signal), signal, path));
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
};

function notGiven(path: string): LfmcError {
  return new LfmcError("io/missing", "is not given, and neither is the artefact's folder", {
    subject: path,
    hint: "Pass `base`, or `manifest`, `module`, `weights`, `tokenizer` and `chatTemplate` (null for none).",
  });
}
