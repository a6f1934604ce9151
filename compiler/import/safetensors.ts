/**
 * A checkpoint in safetensors files, single or sharded, as a `WeightStore`. Headers are read and checked at once; weights only by range,
 * so memory does not grow with the file. Bytes are little-endian, as is every machine this runs on.
 */
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { LfmcError } from "../errors.ts";
import { floatBytes, notFinite, readExactly, readFloats, type OpenFile } from "./file-floats.ts";
import { parseJson } from "./json.ts";
import { headerBytesMax, headerLength, parseHeader, type HeaderEntry } from "./safetensors-header.ts";
import { isRecord, shown } from "./schema-error.ts";
import { checkRange, keptFloats, roundedGroups, rowShape, type FloatType, type TensorInfo, type WeightStore } from "./weight-store.ts";

const singleName = "model.safetensors";
const indexName = "model.safetensors.index.json";

/** One open file and its tensors. */
interface Shard extends OpenFile {
  readonly entries: ReadonlyMap<string, HeaderEntry>;
}

interface Located extends TensorInfo {
  readonly dtype: FloatType;
  readonly shard: Shard;
  readonly begin: number;
}

/** A `WeightStore` over files, with what it found but cannot read. */
export class CheckpointReader implements WeightStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors of other types than F32, F16 and BF16: name -> dtype. Fatal only if the model needs one. */
  readonly unreadable: ReadonlyMap<string, string>;
  readonly #located: ReadonlyMap<string, Located>;
  readonly #shards: readonly Shard[];

  constructor(shards: readonly Shard[], shardOf: ReadonlyMap<string, Shard>) {
    const located = new Map<string, Located>();
    const unreadable = new Map<string, string>();
    for (const [name, shard] of shardOf) {
      const entry = shard.entries.get(name);
      if (!entry)
        throw new LfmcError("safetensors/index", `does not hold ${shown(name)}, which the index says it does`, badIndex(shard.path));
      const { dtype, shape, begin } = entry;
      if (isFloatType(dtype)) located.set(name, { name, shape, dtype, keep: keptFloats[dtype], shard, begin });
      else unreadable.set(name, dtype);
    }
    this.tensors = located;
    this.unreadable = unreadable;
    this.#located = located;
    this.#shards = shards;
  }

  /** Rows start…start+count-1 as f32. `weights/value` for NaN and infinity, `io/unreadable` where the file ends early. */
  async readRows(tensor: string, start: number, count: number): Promise<Float32Array> {
    const located = this.#located.get(tensor);
    if (!located)
      throw new LfmcError("weights/missing", "is not in the checkpoint", { subject: tensor, hint: "is the checkpoint complete?" });
    checkRange(located, start, count);
    const { rowLength } = rowShape(located.shape);
    const { shard, dtype, begin } = located;
    const { values, bad } = await readFloats(shard, dtype, begin + start * rowLength * floatBytes(dtype), count * rowLength);
    if (bad >= 0) throw notFinite(located, start * rowLength + bad, values[bad] ?? NaN);
    return values;
  }

  readonly readGroups = roundedGroups((tensor, start, count) => this.readRows(tensor, start, count));

  async close(): Promise<void> {
    await Promise.all(this.#shards.map(({ handle }) => handle.close()));
  }
}

/** Opens `model.safetensors` in `folder`, else the shards of its index; null if it has neither. Throws `safetensors/*`. */
export async function openCheckpoint(folder: string): Promise<CheckpointReader | null> {
  const single = join(folder, singleName);
  if (await isFile(single)) return await openSafetensors(single);
  const index = join(folder, indexName);
  return (await isFile(index)) ? await openSharded(folder, index) : null;
}

/** Opens one safetensors file. Throws `safetensors/*`. */
export async function openSafetensors(path: string): Promise<CheckpointReader> {
  const shard = await openShard(path);
  return new CheckpointReader([shard], new Map([...shard.entries.keys()].map((name) => [name, shard])));
}

async function openSharded(folder: string, index: string): Promise<CheckpointReader> {
  const fileOf = await readIndex(index);
  const shards = new Map<string, Shard>();
  try {
    for (const file of new Set(fileOf.values())) {
      const path = join(folder, file);
      if (!(await isFile(path))) throw new LfmcError("safetensors/index", "is missing, but the index names it", badIndex(path));
      shards.set(file, await openShard(path));
    }
    const shardOf = new Map<string, Shard>();
    for (const [name, file] of fileOf) {
      const shard = shards.get(file);
      if (shard) shardOf.set(name, shard);
    }
    return new CheckpointReader([...shards.values()], shardOf);
  } catch (error) {
    await Promise.all([...shards.values()].map(({ handle }) => handle.close()));
    throw error;
  }
}

/** Tensor name -> file name in the index's own folder. */
async function readIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const { size } = await stat(path);
  if (size > headerBytesMax)
    throw new LfmcError("safetensors/index", `has ${size} bytes; at most ${headerBytesMax} are read`, badIndex(path));
  const parsed = parseJson(await readFile(path));
  if ("fault" in parsed) throw new LfmcError("safetensors/index", parsed.fault, badIndex(path));
  const map = isRecord(parsed.value) ? parsed.value.weight_map : undefined;
  if (!isRecord(map)) throw new LfmcError("safetensors/index", `weight_map is ${shown(map)}; expected an object`, badIndex(path));
  const fileOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    // Only plain names: the index must not reach outside its folder.
    if (typeof file !== "string" || !/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,200}\.safetensors$/.test(file)) {
      const fact = `weight_map puts ${shown(name)} in ${shown(file)}; expected the name of a .safetensors file beside the index`;
      throw new LfmcError("safetensors/index", fact, badIndex(path));
    }
    fileOf.set(name, file);
  }
  return fileOf;
}

async function openShard(path: string): Promise<Shard> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw new LfmcError("io/unreadable", "cannot be opened", { subject: path, hint: "check the file's permissions", cause });
  });
  try {
    const { size } = await handle.stat();
    const prefix = new Uint8Array(Math.min(8, size));
    await readExactly({ path, handle }, prefix, 0);
    const header = new Uint8Array(headerLength(prefix, size, path));
    await readExactly({ path, handle }, header, 8);
    const entries = new Map(parseHeader(header, size, path).map((entry) => [entry.name, entry]));
    return { path, handle, entries };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function badIndex(subject: string): { readonly subject: string; readonly hint: string } {
  return { subject, hint: "the download is incomplete or damaged: fetch the checkpoint again" };
}

function isFloatType(dtype: string): dtype is FloatType {
  return Object.hasOwn(keptFloats, dtype);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
