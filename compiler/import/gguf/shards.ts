/** The files of a GGUF model, open and with their headers checked: one, or all those that a split model's names and metadata agree on. */
import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseGgufShardFilename } from "@huggingface/gguf";
import { LfmcError } from "../../errors.ts";
import type { OpenFile } from "../file-floats.ts";
import { shown } from "../schema-error.ts";
import { readHeader, type GgufHeader } from "./header.ts";
import { MetadataReader } from "./metadata.ts";

/** More files than any release is split into. */
const shardsMax = 1000;

export interface Shard {
  readonly file: OpenFile;
  readonly header: GgufHeader;
}

/** The part of a file's name before `.gguf`, and before `-00001-of-00003` where it has that. */
export function ggufName(path: string): string {
  const file = basename(path);
  return parseGgufShardFilename(file)?.prefix ?? file.replace(/\.gguf$/i, "");
}

/**
 * Opens the model at `path`, or all files of the model of which it is one: those beside it whose names differ in the number alone. The
 * first has the model's metadata. Throws gguf/*, io/missing, io/unreadable; then nothing stays open.
 */
export async function openShards(path: string): Promise<readonly Shard[]> {
  const { prefix, total } = parseGgufShardFilename(basename(path)) ?? { prefix: "", total: "00001" };
  const count = Number(total);
  if (count < 1 || count > shardsMax) {
    const hint = `a model may be split into 1 to ${shardsMax} files`;
    throw new LfmcError("gguf/header", `says that it is one of ${count} files`, { subject: path, hint });
  }
  const number = (index: number): string => String(index).padStart(5, "0");
  const beside = (index: number): string => join(dirname(path), `${prefix}-${number(index + 1)}-of-${total}.gguf`);
  const paths = count === 1 ? [path] : Array.from({ length: count }, (_, index) => beside(index));
  const shards: Shard[] = [];
  try {
    for (const each of paths) shards.push(await openShard(each));
    checkSplit(shards);
    return shards;
  } catch (error) {
    await Promise.all(shards.map(({ file }) => file.handle.close()));
    throw error;
  }
}

async function openShard(path: string): Promise<Shard> {
  // Asked before it is opened: opening a pipe would wait for its writer.
  const found = await stat(path).catch((cause: unknown) => {
    const hint = "put all files of the model into one folder, under their own names";
    throw new LfmcError("io/missing", "does not exist, or may not be seen", { subject: path, hint, cause });
  });
  const unreadable = (fact: string, cause?: unknown): LfmcError =>
    new LfmcError("io/unreadable", fact, { subject: path, hint: "give a .gguf file that you may read", cause });
  if (!found.isFile()) throw unreadable("is not a file");
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw unreadable("cannot be opened", cause);
  });
  try {
    const file = { path, handle };
    return { file, header: await readHeader(file, (await handle.stat()).size) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Names say how many files there are; metadata must say the same, in every file, and no tensor may be in two. */
function checkSplit(shards: readonly Shard[]): void {
  const tensorCount = shards.reduce((sum, { header }) => sum + header.tensors.length, 0);
  const seen = new Map<string, string>();
  shards.forEach(({ file: { path }, header }, index) => {
    const metadata = new MetadataReader(header.metadata, path);
    const expected = { "split.no": index, "split.count": shards.length, "split.tensors.count": tensorCount };
    for (const [key, value] of Object.entries(expected)) {
      const said = metadata.whole(key) ?? (shards.length === 1 ? value : null);
      if (said === value) continue;
      const hint = "give files of a split model their own names, NAME-00001-of-00003.gguf, all in one folder";
      metadata.bad(`${key} is ${said ?? "absent"}; by the names of the files it is ${value}`, hint);
    }
    for (const { name } of header.tensors) {
      const other = seen.get(name);
      if (other !== undefined) metadata.bad(`has tensor ${shown(name)}, and so has ${other}`);
      seen.set(name, path);
    }
  });
}
