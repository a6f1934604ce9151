/**
 * Opens an artefact's folder with this lfmc's own runtime: nothing in the folder is run but its WebAssembly module, or the library that is built
 * from its C sources, as the manifest has them.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { load as loadModule, parseManifest, type Manifest, type Model } from "../../runtime/index.ts";
import { load as loadLibrary } from "../../runtime/library/index.ts";
import { isArtefact } from "../artefact/is-artefact.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { buildLibrary } from "../native/build.ts";
import { usesExecutable } from "../native/executable.ts";
import { progress, progressBar } from "./report.ts";

export interface OpenOptions {
  readonly variant?: string | undefined;
  readonly threads?: number | undefined;
  /** Hash what is run and the weights, so that an altered file is told from one that was not; on by default. */
  readonly verify?: boolean;
}

/** The manifest of an artefact's folder. Throws artefact/invalid where it is damaged. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, "manifest.json");
  const parsed = parseJson(await readFile(path));
  if ("value" in parsed) return parseManifest(parsed.value);
  throw new LfmcError("artefact/invalid", parsed.fault, { subject: path, hint: "compile the model again: the artefact was altered" });
}

/** The manifest of what must be an artefact's folder. Throws io/missing where it is none, artefact/invalid where it is damaged. */
export async function artefactManifest(folder: string): Promise<Manifest> {
  if (await isArtefact(folder)) return await readManifest(folder);
  throw new LfmcError("io/missing", "is not an artefact: it has no manifest.json of lfmc's", {
    subject: folder,
    hint: "make one with lfmc compile <model> -o DIR",
  });
}

/** Throws run/input where an artefact's model cannot be loaded here, but for its executable. */
export function assertCallable(folder: string, manifest: Manifest): void {
  if (!usesExecutable(manifest)) return;
  throw new LfmcError("run/input", "is a C artefact, which cannot be called from here", {
    subject: folder,
    hint: "install the npm package koffi and unset LFMC_RUNNER, or compile with --target wasm-simd",
  });
}

/** Checks the sha256 of weights, code and sources, reading them in pieces. Throws artefact/mismatch. */
export async function verifyFiles(folder: string, { weights, variants, sources }: Manifest): Promise<void> {
  const files = [...variants.map(({ module, sha256 }) => ({ path: module, sha256 })), ...sources, ...weights];
  for (const { path, sha256 } of files) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, path)), hash);
    if (hash.digest("hex") === sha256) continue;
    throw new LfmcError("artefact/mismatch", "does not have the sha256 that the manifest says", {
      subject: path,
      hint: "the file was altered or belongs to another artefact: copy or compile it again",
    });
  }
}

/** The runtime's own script for workers: TypeScript where this file is run from source, JavaScript where it was built. */
export const threadEntry = new URL(`../../runtime/thread${extname(import.meta.url)}`, import.meta.url);

/** Loads a model, with progress on a terminal; of a C artefact, builds its library first. Throws io/missing where the folder is no artefact. */
export async function openArtefact(folder: string, { variant, threads, verify = true }: OpenOptions = {}): Promise<Model> {
  const manifest = await artefactManifest(folder);
  const isModule = manifest.target === "wasm-simd";
  // The runtime hashes a module's weights as it reads them; a library maps its own.
  if (verify && !isModule) await verifyFiles(folder, manifest);
  const library = isModule ? undefined : await libraryOf(folder, manifest);
  const model = await (isModule ? loadModule : loadLibrary)({
    base: pathToFileURL(`${resolve(folder)}/`),
    library,
    thread: threadEntry,
    variant,
    threads,
    verify: verify && isModule,
    onProgress: ({ phase, loadedBytes, totalBytes }) => {
      if (phase === "weights") progressBar("loading weights", loadedBytes, totalBytes);
    },
  });
  progress(null);
  return model;
}

/** The library of a C artefact, built unless it has been. Throws native/compiler. */
export async function libraryOf(folder: string, manifest: Manifest): Promise<URL> {
  progress(`building ${manifest.name}`);
  try {
    return pathToFileURL((await buildLibrary(resolve(folder), manifest)).path);
  } finally {
    progress(null);
  }
}
