/**
 * GGUF files, version 3, as llama.cpp reads them: metadata, a table of tensors, and their bytes. A tensor's bytes are made piece by piece
 * as the file is written, so that a model larger than the memory is no trouble. Little-endian, as is every machine this runs on.
 */
import type { FileHandle } from "node:fs/promises";
import { internal } from "../errors.ts";
import { rowBytes, type BlockType } from "../import/gguf/blocks.ts";
import { elementCount } from "../import/weight-store.ts";
import { roundUp } from "../numeric/quantize.ts";

/** A number is a u32, `int` an i32, `float` an f32; a list of numbers holds i32s. */
export type MetadataValue =
  number | string | boolean | { readonly int: number } | { readonly float: number } | readonly number[] | readonly string[];

export type Metadata = Readonly<Record<string, MetadataValue>>;

export interface GgufTensor {
  readonly name: string;
  /** Outermost dimension first, as checkpoints have it; the last one is contiguous. */
  readonly shape: readonly number[];
  readonly type: Pick<BlockType, "id" | "name" | "values" | "bytes">;
  /** The tensor's bytes, in order, in pieces of any size. */
  readonly pieces: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** Where each tensor's bytes begin is a multiple of this; what llama.cpp assumes. */
export const alignment = 32;

/** Bytes of a tensor. Its last dimension is whole blocks. */
export function tensorBytes({ shape, type }: Pick<GgufTensor, "shape" | "type">): number {
  return rowBytes(type, elementCount(shape));
}

/** Writes a model to an empty file; `onWritten` gets the bytes of each piece. Whatever `pieces` throws ends it. */
export async function writeGguf(
  file: Pick<FileHandle, "writeFile">,
  metadata: Metadata,
  tensors: readonly GgufTensor[],
  onWritten: (bytes: number, tensor: string) => void = () => undefined,
): Promise<void> {
  const header = Buffer.concat([...headerPieces(metadata, tensors)]);
  await file.writeFile(Buffer.concat([header, padding(header.length)]));
  for (const tensor of tensors) {
    const size = tensorBytes(tensor);
    let written = 0;
    for await (const piece of tensor.pieces()) {
      await file.writeFile(piece);
      written += piece.length;
      onWritten(piece.length, tensor.name);
    }
    if (written !== size) internal(`${written} bytes of ${tensor.name}, which has ${size}`);
    await file.writeFile(padding(size));
  }
}

function* headerPieces(metadata: Metadata, tensors: readonly GgufTensor[]): Generator<Buffer> {
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
    yield u32(tensor.type.id);
    yield u64(offset);
    offset += roundUp(tensorBytes(tensor), alignment);
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
  if ("int" in value) return { type: "i32", pieces: [i32(value.int)] };
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

/** The zeros between `bytes` and the next aligned position. */
function padding(bytes: number): Buffer {
  return Buffer.alloc(roundUp(bytes, alignment) - bytes);
}
