/**
 * Weights in groups: unsigned numbers u of 4 or 8 bits, 32 consecutive elements of a row sharing one scale: w = scale * (u - offset).
 * The rounding is ggml's, so that a checkpoint quantised here and there has the same numbers.
 */
import { bitsOfF32, f16Max, f16MinNormal, f16ToF32, f32OfBits, f32ToF16 } from "./half.ts";
import { blockSize, groupSize, roundUp } from "./quantize.ts";

const f = Math.fround;

export type GroupFormatName = "q4_0" | "q8_0";

/** One way to put 32 weights into a group. */
export interface GroupFormat {
  readonly name: GroupFormatName;
  /** Bits of u. */
  readonly bits: 4 | 8;
  /** The u of a zero weight: a power of two. */
  readonly offset: number;
  /** A group's scale, not yet rounded to its storage; 0 where the group counts as zero. */
  readonly scaleOf: (values: Float32Array) => number;
  /** The group's values under its unrounded scale. */
  readonly encode: (values: Float32Array, scale: number, u: Uint8Array) => void;
}

/** Groups of weights below this magnitude count as zero: the reciprocal of their scale would leave binary32. */
const smallestWeight = 2 ** -120;

/** The value of largest magnitude, the first of equals. */
function extremeOf(values: Float32Array): number {
  let extreme = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  return Math.abs(extreme) < smallestWeight ? 0 : extreme;
}

function reciprocal(scale: number): number {
  return scale === 0 ? 0 : f(1 / scale);
}

export const groupFormats: Readonly<Record<GroupFormatName, GroupFormat>> = {
  q4_0: {
    name: "q4_0",
    bits: 4,
    offset: 8,
    // The extreme value becomes -8, so the scale's sign is the opposite of its own.
    scaleOf: (values) => f(extremeOf(values) / -8),
    // min(15, trunc(w / d + 8.5))
    encode: (values, scale, u) => {
      const inverse = reciprocal(scale);
      for (let i = 0; i < values.length; i++) u[i] = Math.min(15, Math.trunc(f(f((values[i] ?? 0) * inverse) + 8.5)));
    },
  },
  q8_0: {
    name: "q8_0",
    bits: 8,
    offset: 128,
    scaleOf: (values) => f(Math.abs(extremeOf(values)) / 127),
    // round(w / d), halves away from zero
    encode: (values, scale, u) => {
      const inverse = reciprocal(scale);
      for (let i = 0; i < values.length; i++) {
        const x = f((values[i] ?? 0) * inverse);
        u[i] = 128 + Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
      }
    },
  },
};

/** The format of this name, or undefined: other encodings have no groups. */
export function groupFormatNamed(encoding: string): GroupFormat | undefined {
  return encoding === "q4_0" || encoding === "q8_0" ? groupFormats[encoding] : undefined;
}

/** Rows of grouped weights: w = scale * (u - offset), then times 2^-exponent. */
export interface GroupedWeights {
  readonly rows: number;
  /** The row's length padded to whole blocks; padding is u = offset. */
  readonly columns: number;
  readonly offset: number;
  /** One value a byte: [rows, columns]. */
  readonly u: Uint8Array;
  /** [rows, columns / 32]; every scale is a normal f16 when `format` is "f16". */
  readonly scales: Float32Array;
  readonly format: ScaleFormat;
  /** All scales were multiplied by 2^exponent, so that none is a subnormal f16; the epilogue undoes it. */
  readonly exponent: number;
}

export type ScaleFormat = "f16" | "f32";

/** How a tensor's scales are stored: what `scaleStorage` found from their smallest and largest magnitude. */
export interface ScaleStorage {
  readonly format: ScaleFormat;
  readonly exponent: number;
}

/**
 * Picks the storage of a tensor's scales from the smallest and largest magnitude among those that are not zero: as they are, else
 * moved by one power of two into f16's normal range, else f32. `smallest` is Infinity where all are zero.
 */
export function scaleStorage(smallest: number, largest: number): ScaleStorage {
  if (smallest === Infinity || (smallest >= f16MinNormal && largest <= f16Max)) return { format: "f16", exponent: 0 };
  // The smallest move that brings the far end into range leaves most room at the other.
  const lift = -14 - binaryExponent(smallest);
  const drop = 15 - binaryExponent(largest);
  const exponent = smallest < f16MinNormal ? lift : largest * 2 ** drop <= f16Max ? drop : drop - 1;
  const fits = smallest * 2 ** exponent >= f16MinNormal && largest * 2 ** exponent <= f16Max;
  return fits ? { format: "f16", exponent } : { format: "f32", exponent: 0 };
}

/** Floor of the base-2 logarithm of a normal binary32. */
function binaryExponent(x: number): number {
  return ((bitsOfF32(x) >>> 23) & 255) - 127;
}

/**
 * A scale as stored: 11 significant bits, whatever the format, so that the format never decides a product's bits. A zero scale is
 * stored as the smallest normal f16 (all its u are the offset).
 */
export function storedScale(scale: number, { format, exponent }: ScaleStorage): number {
  if (scale === 0) return f16MinNormal;
  if (format === "f16") return f16ToF32(f32ToF16(f(scale * 2 ** exponent)));
  const bits = bitsOfF32(scale);
  return f32OfBits((bits + 0xfff + ((bits >>> 13) & 1)) & ~0x1fff);
}

/** Quantises `rows` rows of `width` finite weights. */
export function quantizeWeights(format: GroupFormat, w: Float32Array, rows: number, width: number): GroupedWeights {
  const columns = roundUp(width, blockSize);
  const groups = columns / groupSize;
  const exact = new Float32Array(rows * groups);
  const u = new Uint8Array(rows * columns).fill(format.offset);
  const range = new ScaleRange();
  for (let row = 0; row < rows; row++) {
    for (let start = 0; start < width; start += groupSize) {
      const values = w.subarray(row * width + start, row * width + Math.min(start + groupSize, width));
      const scale = format.scaleOf(values);
      exact[row * groups + start / groupSize] = scale;
      format.encode(values, scale, u.subarray(row * columns + start));
      range.add(scale);
    }
  }
  const storage = range.storage();
  return { rows, columns, offset: format.offset, u, scales: exact.map((scale) => storedScale(scale, storage)), ...storage };
}

/** The smallest and the largest magnitude of a tensor's scales, as they come. */
export class ScaleRange {
  #smallest = Infinity;
  #largest = 0;

  add(scale: number): void {
    const magnitude = Math.abs(scale);
    if (magnitude > this.#largest) this.#largest = magnitude;
    if (magnitude > 0 && magnitude < this.#smallest) this.#smallest = magnitude;
  }

  storage(): ScaleStorage {
    return scaleStorage(this.#smallest, this.#largest);
  }
}
