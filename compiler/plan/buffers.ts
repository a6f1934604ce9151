/** The memory of activations: rows of f32 (or i32), or the three parts of rows in 8-bit groups. */
import { f32Bytes } from "../kernel/library/lanes.ts";
import { blockSize, groupSize, roundUp } from "../numeric/quantize.ts";
import { alignment } from "./lifetimes.ts";

export type BufferPart = "data" | "q" | "scales" | "sums";

/** A value's memory: its parts' offsets. */
export interface Buffer {
  readonly bytes: number;
  readonly parts: Readonly<Partial<Record<BufferPart, number>>>;
}

/** `rows` rows of numbers of four bytes, `stride` elements apart. */
export function floatBuffer(rows: number, stride: number): Buffer {
  return { bytes: rows * stride * f32Bytes, parts: { data: 0 } };
}

/** `rows` rows of `width` elements in 8-bit groups. */
export function quantizedBuffer(rows: number, width: number): Buffer {
  const columns = roundUp(width, blockSize);
  // Scales are f32, sums i32: four bytes a group either way.
  const groupNumbers = ((rows * columns) / groupSize) * f32Bytes;
  const scales = roundUp(rows * columns, alignment);
  const sums = scales + roundUp(groupNumbers, alignment);
  return { bytes: sums + groupNumbers, parts: { q: 0, scales, sums } };
}
