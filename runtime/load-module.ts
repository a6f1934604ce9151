/** From a WebAssembly artefact to an engine: the choice of its variant, the memory, the module, the weights in their place. */
import { untilAborted } from "./abort.ts";
import { bodyOf, kindOf, unreadable } from "./bytes.ts";
import { openStore } from "./cache/piece-store.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { detectFeatures, selectVariant, threadCount } from "./features.ts";
import { checksHashes, sha256 } from "./hash.ts";
import { type EngineLoader, type LoadOptions, type ModuleBytes, type ModuleFunction, type ModuleInput, loadWith } from "./load.ts";
import { type Manifest, type Variant, isEmbedded, moduleLabel, moduleSection } from "./manifest.ts";
import type { Model } from "./model.ts";
import { type ArtefactSource, urlSource } from "./sources.ts";
import { hostSharesMemory, mostThreads } from "./threads.ts";
import { compileModule, createMemory, instantiate, instantiateThreads } from "./wasm-engine.ts";
import { compareHashes, loadWeights, readerOfInput, readerOfSource } from "./weights.ts";

/** Loads an artefact of WebAssembly; throws as `loadWith` does. */
export function load(options: LoadOptions): Promise<Model> {
  return loadWith(loadModule, options);
}

const loadModule: EngineLoader = async (manifest, source, options, onBytes) => {
  if (manifest.target !== "wasm-simd") {
    throw new LfmcError("run/variant", `is compiled to ${manifest.target}, and this runtime loads WebAssembly`, {
      subject: manifest.name,
      hint: "Import the artefact's own index.js, or load from lfmc/runtime/library.",
    });
  }
  if (!Reflect.has(globalThis, "WebAssembly")) {
    throw new LfmcError("run/variant", "this host has no WebAssembly", {
      subject: manifest.name,
      hint: "Browsers leave it out in lockdown modes, and Node with --jitless.",
    });
  }
  const { base, thread = base && new URL("thread.js", base) } = options;
  const wished = threadCount(options, mostThreads);
  // A host that cannot share memory runs one thread; an artefact without threads refuses more by itself.
  const isShared = thread !== undefined && hostSharesMemory();
  const threads = isShared || !manifest.variants.some((variant) => variant.threads) ? wished : 1;
  const { module, variant } = await openModule(manifest.variants, source, { ...options, threads });
  throwIfAborted(options.signal, variant.module);
  const memory = createMemory(manifest, variant, threads);
  const place = { subject: variant.module, memory, module, holdsWeights: isEmbedded(manifest) };
  const opening = variant.threads && thread ? instantiateThreads(place, thread, threads, undefined, options.signal) : instantiate(place);
  const weights = openWeights(manifest, memory, source, options, onBytes);
  try {
    const [engine] = await Promise.all([opening, weights]);
    return { engine, variant, threads };
  } catch (error) {
    void opening.then((engine) => engine.close?.()).catch(() => undefined);
    throw error;
  }
};

interface OpenModule {
  readonly module: WebAssembly.Module;
  readonly variant: Variant;
}

/** The module that the caller gave, whichever variant it is; else the variant that suits the engine best, from the caller's function or its file. */
async function openModule(variants: readonly Variant[], source: ArtefactSource, options: LoadOptions): Promise<OpenModule> {
  const { module: given, signal } = options;
  if (given !== undefined && !isFunction(given)) {
    const open = await moduleOf(given, variants, options);
    assertWished(open.variant, options);
    return open;
  }
  const variant = selectVariant(variants, detectFeatures(), options);
  const opening = given ? moduleFrom(given, variant) : source.read(variant.module, signal);
  return moduleOf(await untilAborted(opening, signal, variant.module), [variant], options);
}

async function moduleFrom(give: ModuleFunction, variant: Variant): Promise<ModuleInput> {
  try {
    return await give(variant);
  } catch (cause) {
    throw cause instanceof LfmcError ? cause : unreadable(variant.module, cause);
  }
}

/** A module that is one of `variants`; throws `artefact/mismatch` where it is none of them. */
async function moduleOf(given: ModuleInput, variants: readonly Variant[], options: LoadOptions): Promise<OpenModule> {
  if (isModule(given)) return { module: given, variant: variantOf(given, variants) };
  const bytes = await moduleBytes(given, options.signal);
  const alike = variants.filter((variant) => variant.bytes === bytes.length);
  const [variant] = alike;
  if (!variant) {
    const [{ module: subject } = { module: "module" }] = variants;
    throw new LfmcError(
      "artefact/mismatch",
      `has ${bytes.length} bytes, the manifest says ${variants.map((each) => each.bytes).join(" or ")}`,
      {
        subject,
        hint: "The file was cut short or belongs to another artefact; copy or compile it again.",
      },
    );
  }
  if (checksHashes(options.verify)) compareHashes(variant.module, await sha256(bytes), variant.sha256);
  const module = await compileModule(variant.module, bytes);
  return { module, variant: variantOf(module, alike) };
}

function isFunction(given: ModuleInput | ModuleFunction): given is ModuleFunction {
  return typeof given === "function";
}

function isModule(given: ModuleInput): given is WebAssembly.Module {
  return given instanceof WebAssembly.Module;
}

/** Which of `variants` a module says that it is; of a module that says nothing, the first. */
function variantOf(module: WebAssembly.Module, variants: readonly Variant[]): Variant {
  const [section] = WebAssembly.Module.customSections(module, moduleSection);
  const said = section && new TextDecoder().decode(section);
  const variant = variants.find((each) => said === undefined || said === moduleLabel(each));
  if (variant) return variant;
  throw new LfmcError("artefact/mismatch", `says that it is "${said}", not "${variants.map(moduleLabel).join('" or "')}"`, {
    subject: "module",
    hint: "Pass the module of the variant that is asked for.",
  });
}

/** A given module is what runs: nothing else can be wished. */
function assertWished(variant: Variant, { variant: name = variant.name, threads = 1 }: LoadOptions): void {
  const [found, wished] = [variant, { name, threads: threads > 1 }].map(moduleLabel);
  if (found === wished) return;
  throw new LfmcError("run/variant", `is "${found}", and load is asked for "${wished}"`, {
    subject: "module",
    hint: "Leave the variant out, or pass the module that goes with it and the threads.",
  });
}

async function moduleBytes(given: ModuleBytes, signal: AbortSignal | undefined): Promise<Uint8Array> {
  // Node takes 30 ms to show what a Response is, so that comes last.
  if (given instanceof Uint8Array) return given;
  if (given instanceof ArrayBuffer) return new Uint8Array(given);
  if (given instanceof URL) return urlSource(given).read(given.href, signal);
  if (given instanceof Response) return bodyOf(given, "module", signal);
  throw new LfmcError("run/input", `is given as ${kindOf(given)}`, {
    subject: "module",
    hint: "Give a WebAssembly.Module, a URL, a Response that has come, or bytes.",
  });
}

async function openWeights(
  manifest: Manifest,
  memory: WebAssembly.Memory,
  source: ArtefactSource,
  options: LoadOptions,
  onBytes: (loadedBytes: number) => void,
): Promise<void> {
  if (isEmbedded(manifest)) return;
  const { offset, bytes } = manifest.memory.weights;
  const { weights, signal, cache } = options;
  const address = weights ?? (options.source ? undefined : options.base);
  const isRemote = address instanceof URL && address.protocol.startsWith("http");
  const store = openStore(cache, manifest.name, isRemote);
  const reader =
    weights === undefined || weights instanceof URL
      ? readerOfSource(weights ? urlSource(weights) : source, manifest.weights, signal)
      : readerOfInput(weights, manifest.weights, signal);
  const target = new Uint8Array(memory.buffer, offset, bytes);
  await loadWeights(manifest.weights, target, reader, { verify: checksHashes(options.verify), store, signal, onBytes });
}
