/** GGUF files as tests see them: the tensors' own bytes by name. */
import { readFile } from "node:fs/promises";
import { openShards } from "../../compiler/import/gguf/shards.ts";

export interface FileTensor {
  readonly type: string;
  readonly shape: readonly number[];
  /** In hexadecimal: what differs is shown. */
  readonly bytes: string;
}

/** What a GGUF file holds, without its metadata. */
export async function tensorsOf(path: string): Promise<ReadonlyMap<string, FileTensor>> {
  const shards = await openShards(path);
  await Promise.all(shards.map(({ file }) => file.handle.close()));
  const bytes = await readFile(path);
  const tensors = shards.flatMap(({ header }) => header.tensors);
  return new Map(
    tensors.map(({ name, shape, type, begin, end }) => [name, { type: type.name, shape, bytes: bytes.toString("hex", begin, end) }]),
  );
}
