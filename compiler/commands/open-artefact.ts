/** Opens an artefact's folder with this lfmc's own runtime: nothing in the folder is run but its WebAssembly module. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { load, parseManifest, type Manifest, type Model } from "../../runtime/index.ts";
import { isArtefact } from "../artefact/is-artefact.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { progress, progressBar } from "./report.ts";

export interface OpenOptions {
  readonly variant?: string;
  readonly threads?: number;
  /** Hash every file first, so that an altered one is told from one that was not; on by default. */
  readonly verify?: boolean;
}

/** The manifest of an artefact's folder. Throws artefact/invalid where it is damaged. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, "manifest.json");
  const parsed = parseJson(await readFile(path));
  if ("value" in parsed) return parseManifest(parsed.value);
  throw new LfmcError("artefact/invalid", parsed.fault, { subject: path, hint: "compile the model again: the artefact was altered" });
}

/**
 * Checks the sha256 of the weights and the modules, reading them in pieces: the runtime's own check would hold a second copy. Throws
 * artefact/mismatch.
 */
async function verifyFiles(folder: string): Promise<void> {
  const { weights, variants } = await readManifest(folder);
  const files = [...weights, ...variants.map(({ module, sha256 }) => ({ path: module, sha256 }))];
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

/** Loads a model, with progress on a terminal. Throws io/missing where the folder is no artefact. */
export async function openArtefact(folder: string, { variant, threads, verify = true }: OpenOptions = {}): Promise<Model> {
  if (!(await isArtefact(folder))) {
    throw new LfmcError("io/missing", "is not an artefact: it has no manifest.json of lfmc's", {
      subject: folder,
      hint: "make one with lfmc compile <model> -o DIR",
    });
  }
  if (verify) await verifyFiles(folder);
  const model = await load({
    base: pathToFileURL(`${resolve(folder)}/`),
    ...(variant === undefined ? {} : { variant }),
    ...(threads === undefined ? {} : { threads }),
    onProgress: ({ phase, loadedBytes, totalBytes }) => {
      if (phase === "weights") progressBar("loading weights", loadedBytes, totalBytes);
    },
  });
  progress(null);
  return model;
}
