/** Opens an artefact's folder with this lfmc's own runtime: nothing in the folder is run but its WebAssembly module. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { load, parseManifest, type Manifest, type Model } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { progress, progressBar } from "./report.ts";

export interface OpenOptions {
  readonly variant?: string;
  readonly threads?: number;
}

/** True where the folder holds a manifest of lfmc's; false where it looks like a model or nothing. */
export async function isArtefact(folder: string): Promise<boolean> {
  const manifest = await readFile(join(folder, "manifest.json"), "utf8").catch(() => "");
  return manifest.includes('"lfmc-artefact"');
}

/** The manifest of an artefact's folder. Throws artefact/invalid where it is damaged. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, "manifest.json");
  const parsed = parseJson(await readFile(path));
  if ("value" in parsed) return parseManifest(parsed.value);
  throw new LfmcError("artefact/invalid", parsed.fault, { subject: path, hint: "compile the model again: the artefact was altered" });
}

/** Loads a model, with progress on a terminal. Throws io/missing where the folder is no artefact. */
export async function openArtefact(folder: string, { variant, threads }: OpenOptions = {}): Promise<Model> {
  if (!(await isArtefact(folder))) {
    throw new LfmcError("io/missing", "is not an artefact: it has no manifest.json of lfmc's", {
      subject: folder,
      hint: "make one with lfmc compile <model> -o DIR",
    });
  }
  const model = await load({
    base: pathToFileURL(`${resolve(folder)}/`),
    // A file that was altered is told from one that was not: a command has the time to hash.
    verify: true,
    ...(variant === undefined ? {} : { variant }),
    ...(threads === undefined ? {} : { threads }),
    onProgress: ({ phase, loadedBytes, totalBytes }) => {
      if (phase === "weights") progressBar("loading weights", loadedBytes, totalBytes);
    },
  });
  progress(null);
  return model;
}
