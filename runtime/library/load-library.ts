/** From a C artefact to an engine: its library is built already, and maps the weights by itself. */
import { LfmcError, throwIfAborted } from "../errors.ts";
import { threadCount, variantNamed } from "../features.ts";
import { hostFileSystem, pathOfUrl } from "../file-system.ts";
import { createHash } from "../hash.ts";
import { hostPlatform } from "../host.ts";
import { type EngineLoader, type LoadOptions, loadWith } from "../load.ts";
import type { Model } from "../model.ts";
import { libraryFile, openNativeEngine } from "./native-engine.ts";
import { compareHashes } from "../weights.ts";

/** Most threads of a library. */
const mostThreads = 64;

/**
 * Loads a C artefact, whose library has been built; throws as `loadWith` does, and `io/missing` where library or weights are no files of this host,
 * `artefact/mismatch` for weights of another artefact, `run/variant` for what the processor or the host lacks.
 */
export function load(options: LoadOptions): Promise<Model> {
  return loadWith(loadLibrary, options);
}

const loadLibrary: EngineLoader = async (manifest, _source, options) => {
  if (manifest.target === "wasm-simd") {
    throw new LfmcError("run/variant", "is compiled to WebAssembly, and this runtime loads libraries", {
      subject: manifest.name,
      hint: "Import the artefact's own index.js, or load from lfmc/runtime.",
    });
  }
  const { base, weights = base, library, variant, verify, signal } = options;
  const threads = threadCount(options, mostThreads);
  if (variant !== undefined) variantNamed(manifest.variants, variant);
  const libraryPath = filePath("library", library ?? (base && new URL(libraryFile(manifest.name, hostPlatform()), base)));
  const [part] = manifest.weights;
  const weightsUrl = part && weights instanceof URL ? new URL(part.path, weights) : undefined;
  const weightsPath = filePath("weights", weightsUrl);
  if (verify && part && weightsUrl) compareHashes(part.path, await hashOfFile(weightsUrl), part.sha256);
  throwIfAborted(signal, "load");
  const places = base ? [base.href] : [];
  const engine = openNativeEngine({ manifest, library: libraryPath, weights: weightsPath, variant: variant ?? null, threads, places });
  return { engine, variant: variantNamed(manifest.variants, engine.variant), threads };
};

function filePath(subject: string, url: URL | undefined): string {
  return (url && pathOfUrl(url)) ?? noFile(url?.href ?? subject);
}

function noFile(subject: string): never {
  throw new LfmcError("io/missing", "is not a file of this host, and a C artefact's must be", {
    subject,
    hint: "Pass the artefact's folder as `base`, a file: URL; where there are no files, compile with --target wasm-simd.",
  });
}

const pieceBytes = 4 * 2 ** 20;

/** The sha256 of a file, read in pieces: weights may be larger than what a host reads at once. */
async function hashOfFile(url: URL): Promise<string> {
  const [files, hash] = [hostFileSystem(), createHash()];
  if (!files || !hash) return noFile(url.href);
  const file = await files.open(url).catch((cause: unknown) => {
    throw new LfmcError("io/missing", "cannot be read", { subject: url.href, hint: "The artefact's folder must be kept whole.", cause });
  });
  try {
    const piece = new Uint8Array(pieceBytes);
    for (let at = 0; ;) {
      const { bytesRead } = await file.read(piece, 0, pieceBytes, at);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
