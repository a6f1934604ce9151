/** The files of an artefact's folder, of which nobody knows yet whether they are there, are files, and lie inside it. */
import type { Stats } from "node:fs";
import { open, readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { unreadable } from "./finding.ts";

export interface ArtefactFile {
  /** As the manifest or the package names it. */
  readonly path: string;
  /** Where it really lies. */
  readonly place: string;
  readonly bytes: number;
}

/**
 * The file at `path` below `folder`. Throws io/missing where there is none, where it is a folder or a device, and where it lies
 * outside of the artefact's folder.
 */
export async function findFile(folder: string, path: string): Promise<ArtefactFile> {
  const [root, place] = await attempt(path, () => Promise.all([realpath(folder), realpath(join(folder, path))]));
  if (!place.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) throw unreadable(path, "leads out of the artefact's folder");
  const facts = await attempt(path, () => stat(place));
  if (!facts.isFile()) throw unreadable(path, `is ${kindOf(facts)}, not a file`);
  return { path, place, bytes: facts.size };
}

/** Whether there is a file at `path` that `findFile` takes. */
export async function hasFile(folder: string, path: string): Promise<boolean> {
  return await findFile(folder, path).then(
    () => true,
    () => false,
  );
}

/** A whole file. Throws io/missing. */
export async function readWhole({ path, place }: ArtefactFile): Promise<Uint8Array<ArrayBuffer>> {
  return await attempt(path, () => readFile(place));
}

/**
 * A file in pieces of `pieceBytes`, the last of what is left; they share one buffer: a piece is gone when the next is asked for. Throws
 * io/missing.
 */
export async function* readPieces({ path, place }: ArtefactFile, pieceBytes: number): AsyncGenerator<Uint8Array, void, void> {
  const handle = await attempt(path, () => open(place));
  try {
    const buffer = new Uint8Array(pieceBytes);
    for (let filled = pieceBytes; filled === pieceBytes;) {
      filled = 0;
      for (let read = -1; read !== 0 && filled < pieceBytes; filled += read) {
        read = (await attempt(path, () => handle.read(buffer, filled))).bytesRead;
      }
      if (filled > 0) yield buffer.subarray(0, filled);
    }
  } finally {
    await handle.close();
  }
}

async function attempt<Result>(path: string, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    throw unreadable(path, code === "ENOENT" ? "is missing" : `cannot be read (${code})`, cause);
  }
}

function kindOf(facts: Stats): string {
  return facts.isDirectory() ? "a folder" : "a device";
}
