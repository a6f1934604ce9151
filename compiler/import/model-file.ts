/**
 * Files that travel with a model into its artefact: on the disk, or made of what another file holds. Read whole, up to a size that no
 * honest one exceeds.
 */
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { LfmcError } from "../errors.ts";
import { parseJson } from "./json.ts";

/** The releases' tokenizers have under 20 million bytes. */
const fileBytesMax = 256 * 2 ** 20;
const hint = "fetch the file again; without it the model compiles for token ids alone";

export interface ModelFile {
  /** What it is called in the artefact. */
  readonly name: string;
  /** What it is called in errors: the path of the file that has its content. */
  readonly path: string;
  /** Throws io/unreadable, and config/invalid where it is too large. */
  readonly read: () => Promise<Uint8Array>;
}

/** The file at `path`. */
export function fileOnDisk(path: string): ModelFile {
  return { name: basename(path), path, read: () => readBounded(path) };
}

/** A file `name` with this JSON in it, which was found in the file at `path`. */
export function fileOfJson(name: string, path: string, json: unknown): ModelFile {
  return { name, path, read: () => Promise.resolve(new TextEncoder().encode(`${JSON.stringify(json)}\n`)) };
}

/** The file's JSON value. Throws config/invalid where it is none, and what reading throws. */
export async function readModelJson(file: ModelFile): Promise<unknown> {
  const parsed = parseJson(await file.read());
  if ("value" in parsed) return parsed.value;
  throw new LfmcError("config/invalid", parsed.fault, { subject: file.path, hint });
}

async function readBounded(path: string): Promise<Uint8Array> {
  const unreadable = (cause: unknown): never => {
    throw new LfmcError("io/unreadable", "cannot be read", { subject: path, hint, cause });
  };
  const { size } = await stat(path).catch(unreadable);
  if (size > fileBytesMax) {
    throw new LfmcError("config/invalid", `has ${size} bytes; at most ${fileBytesMax} are read`, { subject: path, hint });
  }
  return await readFile(path).catch(unreadable);
}
