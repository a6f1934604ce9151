/**
 * Sixteen lanes at a time: walking a row in chunks, and the reductions of the numeric contract. Kernels work on f32x16, the unit
 * of a panel; a row that is no multiple of 16 ends in a partial chunk whose missing lanes read as +0.
 */
import type { Index, KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";

export const laneCount = 16;
export const f32x16 = vector("f32", laneCount);
export const i32x16 = vector("i32", laneCount);
export const f32Bytes = 4;
export const chunkBytes = laneCount * f32Bytes;

/** 0, 1, … 15 as i32. */
export function laneNumbers(b: KernelBuilder): Value {
  return b.lanes(
    "i32",
    Array.from({ length: laneCount }, (_, i) => i),
  );
}

/** A chunk of a row: its first element, and how many of its lanes belong to the row. */
export interface Chunk {
  readonly start: Index;
  readonly count: number;
}

/** Emits `body` for each chunk of a row of `width` elements: a loop over the whole chunks, then the partial one. */
export function forChunks(b: KernelBuilder, width: number, body: (chunk: Chunk) => void): void {
  const whole = width - (width % laneCount);
  b.for("element", 0, whole, laneCount, (start) => {
    body({ start, count: laneCount });
  });
  if (whole < width) body({ start: whole, count: width - whole });
}

/** Copies `words` numbers of four bytes, whatever they are. */
export function copyWords(b: KernelBuilder, from: Value, to: Value, words: number): void {
  forChunks(b, words, ({ start, count }) => {
    const at = f32Offset(b, start);
    b.store(b.load(i32x16, from, at, 0, count), to, at, 0, count);
  });
}

/** The byte offset of an element of f32 rows. */
export function f32Offset(b: KernelBuilder, element: Index): Index {
  return typeof element === "number" ? element * f32Bytes : b.mul(element, f32Bytes);
}

/** The last step of fold16, and the sum of integers: sixteen lanes to one number, lane j taking lane j+8, then +4, +2, +1. */
export function foldLanes(b: KernelBuilder, lanes: Value): Value {
  let folded = lanes;
  for (const half of [8, 4, 2, 1]) folded = b.add(lanesAt(b, folded, 0, half), lanesAt(b, folded, half, half));
  return folded;
}

/** The largest of sixteen lanes. */
export function largestLane(b: KernelBuilder, lanes: Value): Value {
  let folded = lanes;
  for (const half of [8, 4, 2, 1]) folded = b.max(lanesAt(b, folded, 0, half), lanesAt(b, folded, half, half));
  return folded;
}

/** The `count` lanes of a vector that start at `start`; a scalar where that is one. */
export function lanesAt(b: KernelBuilder, value: Value, start: number, count: number): Value {
  return count === 1 ? b.lane(value, start) : b.part(value, start, count);
}
