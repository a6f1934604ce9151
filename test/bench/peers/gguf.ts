/**
 * GGUF files, version 3, as llama.cpp reads them: metadata, a table of tensors, and their bytes. A tensor's bytes are made piece by piece as the
 * file is written, so that a model larger than the memory is no trouble.
 */
import { open } from "node:fs/promises";

/** A number is a u32, `float` an f32, a list of numbers i32s. */
export type MetadataValue = number | string | boolean | { readonly float: number } | readonly number[] | readonly string[];

export type TensorType = "f32" | "q4_0";

export interface Tensor {
  readonly name: string;
  /** Outermost dimension first, as the checkpoint has it; the last one is contiguous. */
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Fills `bytes`, whole rows of the last dimension, from the row `firstRow` on. */
  readonly fill: (bytes: Uint8Array, firstRow: number) => void;
}

/** GGML's number of a type, and how many values a block of so many bytes holds. */
const types: Readonly<Record<TensorType, { readonly id: number; readonly values: number; readonly bytes: number }>> = {
  f32: { id: 0, values: 1, bytes: 4 },
  q4_0: { id: 2, values: 32, bytes: 18 },
};

const alignment = 32;
const pieceBytes = 4 * 2 ** 20;

/** Bytes of a tensor's row, and how many of them it has. */
function rowsOf({ shape, type }: Tensor): { readonly rowBytes: number; readonly count: number } {
  const { values, bytes } = types[type];
  const rowValues = shape.at(-1) ?? 1;
  return { rowBytes: (rowValues / values) * bytes, count: shape.reduce((product, size) => product * size, 1) / rowValues };
}

/** Bytes of a tensor. */
export function tensorBytes(tensor: Tensor): number {
  const { rowBytes, count } = rowsOf(tensor);
  return rowBytes * count;
}

/** Writes a model to `path`. */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, MetadataValue>>,
  tensors: readonly Tensor[],
): Promise<void> {
  const file = await open(path, "w");
  try {
    const header = padded(Buffer.concat([...headerPieces(metadata, tensors)]));
    await file.writeFile(header);
    for (const tensor of tensors) {
      const { rowBytes, count } = rowsOf(tensor);
      const pieceRows = Math.max(1, Math.floor(pieceBytes / rowBytes));
      for (let row = 0; row < count; row += pieceRows) {
        const piece = Buffer.alloc(Math.min(pieceRows, count - row) * rowBytes);
        tensor.fill(piece, row);
        await file.writeFile(piece);
      }
      await file.writeFile(Buffer.alloc(roundUp(rowBytes * count) - rowBytes * count));
    }
  } finally {
    await file.close();
  }
}

function* headerPieces(metadata: Readonly<Record<string, MetadataValue>>, tensors: readonly Tensor[]): Generator<Buffer> {
  yield Buffer.from("GGUF");
  yield u32(3);
  yield u64(tensors.length);
  yield u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    yield text(key);
    const { type, pieces } = encoded(value);
    yield u32(valueTypes[type]);
    yield* pieces;
  }
  let offset = 0;
  for (const tensor of tensors) {
    yield text(tensor.name);
    yield u32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) yield u64(size);
    yield u32(types[tensor.type].id);
    yield u64(offset);
    offset += roundUp(tensorBytes(tensor));
  }
}

const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

interface Encoded {
  readonly type: keyof typeof valueTypes;
  readonly pieces: readonly Buffer[];
}

function encoded(value: MetadataValue): Encoded {
  if (typeof value === "number") return { type: "u32", pieces: [u32(value)] };
  if (typeof value === "string") return { type: "string", pieces: [text(value)] };
  if (typeof value === "boolean") return { type: "bool", pieces: [Buffer.of(Number(value))] };
  if ("float" in value) return { type: "f32", pieces: [f32(value.float)] };
  const items = value.map((item) => (typeof item === "number" ? i32(item) : text(item)));
  const type = typeof value[0] === "number" ? "i32" : "string";
  return { type: "array", pieces: [u32(valueTypes[type]), u64(items.length), ...items] };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

const u32 = (value: number): Buffer => written(4, (bytes) => bytes.writeUInt32LE(value));
const i32 = (value: number): Buffer => written(4, (bytes) => bytes.writeInt32LE(value));
const f32 = (value: number): Buffer => written(4, (bytes) => bytes.writeFloatLE(value));
const u64 = (value: number): Buffer => written(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value)));

function written(size: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(size);
  write(bytes);
  return bytes;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(roundUp(bytes.length) - bytes.length)]);
}
