/**
 * A GGUF model, one file or several, as a `WeightStore` under transformers' names and shapes: experts apart, taps with their axis of one
 * channel. Weights are read by ranges of rows, so memory does not grow with the file. Groups that are asked for in the file's own format
 * are the file's own numbers.
 */
import { LfmcError } from "../../errors.ts";
import { blockSize, groupSize, roundUp } from "../../numeric/quantize.ts";
import type { GroupFormat, Groups } from "../../numeric/weight-groups.ts";
import { floatBytes, notFinite, readExactly, readFloats, type OpenFile } from "../file-floats.ts";
import { shown } from "../schema-error.ts";
import { checkRange, roundedGroups, rowShape, type TensorInfo, type WeightStore } from "../weight-store.ts";
import { holdsExactly, rowBytes, type BlockNumbers, type BlockRow, type BlockType } from "./blocks.ts";
import type { GgufTensor } from "./header.ts";
import type { Shard } from "./shards.ts";
import { checkpointNamesOf, isTaps } from "./tensor-names.ts";

const f = Math.fround;

/** Values taken apart at a time, or one row. */
const pieceLength = 1 << 20;
/** More experts than a config may have. */
const slicesMax = 4096;

interface Located extends TensorInfo {
  readonly file: OpenFile;
  readonly type: BlockType;
  readonly begin: number;
}

/** The tensors of open files as a store, which owns the files. */
export class GgufStore implements WeightStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Tensors that are no part of an LFM2 model, by GGUF's name, and their types. */
  readonly unknown: ReadonlyMap<string, string>;
  readonly #located: ReadonlyMap<string, Located>;
  readonly #shards: readonly Shard[];

  constructor(shards: readonly Shard[]) {
    const found = shards.flatMap(({ file, header }) => header.tensors.map((tensor) => ({ tensor, places: locate(tensor, file) })));
    this.#located = new Map(found.flatMap(({ places }) => places.map((place) => [place.name, place])));
    this.unknown = new Map(found.flatMap(({ tensor, places }) => (places.length === 0 ? [[tensor.name, tensor.type.name]] : [])));
    this.tensors = this.#located;
    this.#shards = shards;
  }

  /** Rows start…start+count-1 as f32. `weights/value` for NaN and infinity, `io/unreadable` where the file ends early. */
  async readRows(tensor: string, start: number, count: number): Promise<Float32Array> {
    const found = this.#find(tensor, start, count);
    const { type, file, begin } = found;
    const { rowLength } = rowShape(found.shape);
    if (type.kind === "blocks") return dequantized(await readBlocks(found, type, { start, count, columns: rowLength }), type);
    const { values, bad } = await readFloats(file, type.name, begin + start * rowLength * floatBytes(type.name), count * rowLength);
    if (bad >= 0) throw notFinite(found, start * rowLength + bad, values[bad] ?? NaN);
    return values;
  }

  async readGroups(tensor: string, format: GroupFormat, start: number, count: number): Promise<Groups> {
    const found = this.#find(tensor, start, count);
    const { type } = found;
    return type.kind === "blocks" && holdsExactly(type, format)
      ? await ownGroups(found, type, format, start, count)
      : await this.#rounded(tensor, format, start, count);
  }

  readonly #rounded = roundedGroups((tensor, start, count) => this.readRows(tensor, start, count));

  async close(): Promise<void> {
    await Promise.all(this.#shards.map(({ file }) => file.handle.close()));
  }

  #find(tensor: string, start: number, count: number): Located {
    const found = this.#located.get(tensor);
    if (!found) throw new LfmcError("weights/missing", "is not in the file", { subject: tensor, hint: "is the file complete?" });
    checkRange(found, start, count);
    return found;
  }
}

/** The tensors of a checkpoint that a tensor of the file is: one, one each expert, or none. */
function locate({ name, shape, type, begin }: GgufTensor, file: OpenFile): readonly Located[] {
  const slices = shape.length === 3 ? (shape[0] ?? 0) : 0;
  if (slices > slicesMax) {
    const fact = `tensor ${shown(name)} has ${slices} slices; at most ${slicesMax} are read`;
    throw new LfmcError("gguf/tensor", fact, { subject: file.path, hint: "is this an LFM2 model?" });
  }
  const names = checkpointNamesOf(name, slices);
  const [rows = 1, ...rest] = shape;
  const isStack = slices > 0 && names.length === slices && name.includes("_exps.");
  const own = isStack ? rest : names.some(isTaps) && shape.length === 2 ? [rows, 1, ...rest] : shape;
  const { rows: ownRows, rowLength } = rowShape(own);
  const bytes = ownRows * rowBytes(type, rowLength);
  return names.map((tensor, slice) => ({
    ...{ name: tensor, shape: own, dtype: type.name, keep: type.keep, file, type },
    begin: begin + slice * bytes,
  }));
}

/** Rows to read, and the length that each of them gets. */
interface Range {
  readonly start: number;
  readonly count: number;
  readonly columns: number;
}

/** The numbers of rows of blocks, [count, columns]: what lies beyond a row's own values is u = offset and scale 0. */
async function readBlocks(tensor: Located, type: BlockRow, { start, count, columns }: Range): Promise<BlockNumbers> {
  const { rowLength } = rowShape(tensor.shape);
  const perRow = columns / type.group;
  const numbers = {
    u: new Uint8Array(count * columns).fill(type.offset),
    scales: new Float32Array(count * perRow),
    minimums: new Float32Array(type.hasMinimums ? count * perRow : 0),
  };
  const bytes = rowBytes(type, rowLength);
  const pieceRows = Math.max(1, Math.floor(pieceLength / rowLength));
  const raw = new Uint8Array(Math.min(pieceRows, count) * bytes);
  const view = new DataView(raw.buffer);
  for (let row = 0; row < count; row += pieceRows) {
    const rows = Math.min(pieceRows, count - row);
    await readExactly(tensor.file, raw.subarray(0, rows * bytes), tensor.begin + (start + row) * bytes);
    for (let i = 0; i < rows; i++) {
      for (let block = 0; block * type.values < rowLength; block++) {
        const first = block * type.values;
        type.unpack(view, i * bytes + block * type.bytes, numbers, (row + i) * columns + first, (row + i) * perRow + first / type.group);
      }
    }
  }
  for (const values of [numbers.scales, numbers.minimums]) {
    const bad = values.findIndex((value) => !Number.isFinite(value));
    const element = (start + Math.floor(bad / perRow)) * rowLength + (bad % perRow) * type.group;
    if (bad >= 0) throw notFinite(tensor, element, values[bad] ?? NaN);
  }
  return numbers;
}

/** scale * (u - offset) + minimum, each operation rounded to binary32, as ggml does it. */
function dequantized({ u, scales, minimums }: BlockNumbers, { group, offset, hasMinimums }: BlockRow): Float32Array {
  const values = new Float32Array(u.length);
  for (let g = 0; g < scales.length; g++) {
    const [scale, minimum] = [scales[g] ?? 0, minimums[g] ?? 0];
    for (let i = g * group; i < (g + 1) * group; i++) {
      const product = f(scale * ((u[i] ?? 0) - offset));
      values[i] = hasMinimums ? f(product + minimum) : product;
    }
  }
  return values;
}

/** The file's numbers as groups of the compiler's format. */
async function ownGroups(tensor: Located, type: BlockRow, { offset }: GroupFormat, start: number, count: number): Promise<Groups> {
  const columns = roundUp(rowShape(tensor.shape).rowLength, blockSize);
  const { u, scales, minimums } = await readBlocks(tensor, type, { start, count, columns });
  const shift = offset - type.offset;
  if (shift !== 0) for (let i = 0; i < u.length; i++) u[i] = (u[i] ?? 0) + shift;
  scales.forEach((scale, g) => {
    if (scale === 0) u.fill(offset, g * groupSize, (g + 1) * groupSize);
  });
  return { rows: count, columns, u, scales, minimums: type.hasMinimums ? minimums : null };
}
