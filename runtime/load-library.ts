/** From a C artefact to an engine: its library is built already, and maps the weights by itself. */
import { LfmcError, throwIfAborted } from "./errors.ts";
import { threadCount, variantNamed } from "./features.ts";
import { hostFileSystem, pathOfUrl } from "./file-system.ts";
import { createHash } from "./hash.ts";
import { hostPlatform } from "./host.ts";
import type { LoadOptions, LoadedEngine } from "./load.ts";
import type { Manifest } from "./manifest.ts";
import { libraryFile, openNativeEngine } from "./native-engine.ts";
import type { ArtefactSource } from "./sources.ts";
import { compareHashes } from "./weights.ts";

/** Most threads of a library. */
const mostThreads = 64;

/**
 * Throws `io/missing` where library or weights are no files of this host, `artefact/mismatch` for weights of another artefact, `run/variant`
 * for what the processor or the host lacks.
 */
export async function loadLibrary(manifest: Manifest, _source: ArtefactSource, options: LoadOptions): Promise<LoadedEngine> {
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
}

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
