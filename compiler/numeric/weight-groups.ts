/**
 * Weights in groups: unsigned numbers u of 3, 4 or 8 bits, 32 consecutive elements of a row sharing one scale: w = scale * (u - offset),
 * or a scale and a minimum: w = scale * u + minimum. The rounding is ggml's, so that a checkpoint quantised here and there has the same
 * numbers; q3_0, which ggml lacks, follows its q4_0.
 */
import { bitsOfF32, f16Max, f16MinNormal, f16ToF32, f32OfBits, f32ToF16 } from "./half.ts";
import { blockSize, groupSize, roundUp } from "./quantize.ts";

const f = Math.fround;

export type GroupFormatName = "q3_0" | "q4_0" | "q4_1" | "q8_0";

/** One way to put 32 weights into a group. */
export interface GroupFormat {
  readonly name: GroupFormatName;
  /** Bits of u. */
  readonly bits: 3 | 4 | 8;
  /** The u of a zero weight: a power of two, or 0 where groups have minimums. */
  readonly offset: number;
  readonly hasMinimums: boolean;
  /** Rounds weights start…end-1, at most 32, into the group of `groups` whose first number is the one at `at`. Billions of weights pass here. */
  readonly round: (weights: WeightBits, start: number, end: number, groups: Groups, at: number) => void;
}

/** Weights as numbers, and as the bits of these. */
interface WeightBits {
  readonly values: Float32Array;
  readonly bits: Int32Array;
}

/** Groups of weights below this magnitude count as zero: the reciprocal of their scale would leave binary32. */
const smallestWeight = 2 ** -120;

/** The value of largest magnitude of a group, the first of equals; 0 where it is empty. `bits` holds the group from `start` to `end`-1, as binary32. */
function extremeOf(bits: Int32Array, start: number, end: number): number {
  // Without their signs, the bits are in the order of the magnitudes; integers compare faster.
  let largest = 0;
  for (let i = start; i < end; i++) largest = Math.max(largest, (bits[i] ?? 0) & 0x7fffffff);
  for (let i = start; i < end; i++) if (((bits[i] ?? 0) & 0x7fffffff) === largest) return f32OfBits(bits[i] ?? 0);
  return 0;
}

/** A number, or 0 where it is so small that the group counts as zero. */
function orZero(extreme: number): number {
  return Math.abs(extreme) < smallestWeight ? 0 : extreme;
}

function reciprocal(scale: number): number {
  return scale === 0 ? 0 : f(1 / scale);
}

/** Numbers on both sides of the offset. The extreme value becomes -offset, so the scale's sign is the opposite of its own. */
function centred(name: GroupFormatName, bits: 3 | 4): GroupFormat {
  const offset = 2 ** (bits - 1);
  const most = 2 ** bits - 1;
  return {
    name,
    bits,
    offset,
    hasMinimums: false,
    // min(most, trunc(w / d + offset + 0.5))
    round: ({ values, bits: bitsOf }, start, end, { u, scales }, at) => {
      const scale = f(orZero(extremeOf(bitsOf, start, end)) / -offset);
      const inverse = reciprocal(scale);
      for (let i = start; i < end; i++) u[at + i - start] = Math.min(most, f(f((values[i] ?? 0) * inverse) + (offset + 0.5)) | 0);
      scales[at / groupSize] = scale;
    },
  };
}

export const groupFormats: Readonly<Record<GroupFormatName, GroupFormat>> = {
  q3_0: centred("q3_0", 3),
  q4_0: centred("q4_0", 4),
  q4_1: {
    name: "q4_1",
    bits: 4,
    offset: 0,
    hasMinimums: true,
    // The least value becomes 0, the largest 15: min(15, trunc((w - min) / d + 0.5)), d = (max - min) / 15
    round: ({ values }, start, end, { u, scales, minimums }, at) => {
      let [least, largest] = [values[start] ?? 0, values[start] ?? 0];
      for (let i = start; i < end; i++) {
        const value = values[i] ?? 0;
        if (value < least) least = value;
        if (value > largest) largest = value;
      }
      const scale = f(orZero(f(largest - least)) / 15);
      const inverse = reciprocal(scale);
      for (let i = start; i < end; i++) u[at + i - start] = Math.min(15, f(f(f((values[i] ?? 0) - least) * inverse) + 0.5) | 0);
      scales[at / groupSize] = scale;
      if (minimums) minimums[at / groupSize] = orZero(least);
    },
  },
  q8_0: {
    name: "q8_0",
    bits: 8,
    offset: 128,
    hasMinimums: false,
    // round(w / d), halves away from zero: a step outwards that no other binary32 feels makes a half round like more than a half.
    round: ({ values, bits }, start, end, { u, scales }, at) => {
      const scale = f(Math.abs(orZero(extremeOf(bits, start, end))) / 127);
      const inverse = reciprocal(scale);
      for (let i = start; i < end; i++) u[at + i - start] = (f((values[i] ?? 0) * inverse) * (1 + 2 ** -40) + 128.5) | 0;
      scales[at / groupSize] = scale;
    },
  },
};

/** The format of this name, or undefined: other encodings have no groups. */
export function groupFormatNamed(encoding: string): GroupFormat | undefined {
  return Object.values(groupFormats).find(({ name }) => name === encoding);
}

/**
 * Rows of weights as an encoder leaves them, whether it rounded them or read them from a file: w = scale * (u - offset) + minimum. Scales are
 * not yet rounded to their storage; one of 0 has nothing but u = offset.
 */
export interface Groups {
  readonly rows: number;
  /** The row's length padded to whole blocks; padding is u = offset, and a group of nothing else has the scale 0. */
  readonly columns: number;
  /** One value a byte: [rows, columns]. */
  readonly u: Uint8Array;
  /** [rows, columns / 32] */
  readonly scales: Float32Array;
  /** The same of formats that have minimums, else null. */
  readonly minimums: Float32Array | null;
}

/** Groups whose scales are as they are stored: w = scale * (u - offset) + minimum, then times 2^-exponent. */
export interface GroupedWeights extends Groups {
  readonly offset: number;
  /** Every scale is a normal f16 when this is "f16", every minimum one or +0. */
  readonly format: ScaleFormat;
  /** All scales and minimums were multiplied by 2^exponent, so that none is a subnormal f16; the epilogue undoes it. */
  readonly exponent: number;
}

/** Weight `index` of [rows, columns], every step rounded by `round`, without the 2^-exponent. */
export function unscaledWeight({ u, offset, scales, minimums }: GroupedWeights, index: number, round: (x: number) => number): number {
  const group = Math.floor(index / groupSize);
  const scaled = round((scales[group] ?? 0) * ((u[index] ?? 0) - offset));
  return minimums ? round(scaled + (minimums[group] ?? 0)) : scaled;
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
export function storedScale(scale: number, storage: ScaleStorage): number {
  const bits = storedScaleBits(scale, storage);
  return storage.format === "f16" ? f16ToF32(bits) : f32OfBits(bits);
}

/** The bits of a stored scale, in its format. */
export function storedScaleBits(scale: number, { format, exponent }: ScaleStorage): number {
  if (format === "f16") return f32ToF16(scale === 0 ? f16MinNormal : f(scale * 2 ** exponent));
  const bits = bitsOfF32(scale === 0 ? f16MinNormal : scale);
  return (bits + 0xfff + ((bits >>> 13) & 1)) & ~0x1fff;
}

/** The bits of a stored minimum, of eleven significant bits too; 0 has no sign. */
export function storedMinimumBits(minimum: number, storage: ScaleStorage): number {
  return minimum === 0 ? 0 : storedScaleBits(minimum, storage);
}

/** A minimum as stored. */
export function storedMinimum(minimum: number, storage: ScaleStorage): number {
  const bits = storedMinimumBits(minimum, storage);
  return storage.format === "f16" ? f16ToF32(bits) : f32OfBits(bits);
}

/** Rounds `rows` rows of `width` finite weights, as ggml does. */
export function quantizeRows(format: GroupFormat, w: Float32Array, rows: number, width: number): Groups {
  const columns = roundUp(width, blockSize);
  const scales = new Float32Array((rows * columns) / groupSize);
  const u = new Uint8Array(rows * columns).fill(format.offset);
  const groups: Groups = { rows, columns, u, scales, minimums: format.hasMinimums ? new Float32Array(scales.length) : null };
  const weights = { values: w, bits: new Int32Array(w.buffer, w.byteOffset, w.length) };
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column += groupSize) {
      format.round(weights, row * width + column, row * width + Math.min(column + groupSize, width), groups, row * columns + column);
    }
  }
  return groups;
}

/** Rounds the scales of a whole tensor to the one storage that holds them all. */
export function storeGroups({ offset }: GroupFormat, groups: Groups): GroupedWeights {
  const range = new ScaleRange();
  range.add(groups);
  const storage = range.storage();
  const scales = groups.scales.map((scale) => storedScale(scale, storage));
  const minimums = groups.minimums?.map((minimum) => storedMinimum(minimum, storage)) ?? null;
  return { ...groups, offset, scales, minimums, ...storage };
}

/** Groups of the same width, one below the other. */
export function stackGroups(parts: readonly Groups[]): Groups {
  const [first] = parts;
  if (first && parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const columns = first?.columns ?? 0;
  const perRow = columns / groupSize;
  const u = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * perRow);
  const minimums = first?.minimums ? new Float32Array(rows * perRow) : null;
  let row = 0;
  for (const part of parts) {
    u.set(part.u, row * columns);
    scales.set(part.scales, row * perRow);
    if (part.minimums) minimums?.set(part.minimums, row * perRow);
    row += part.rows;
  }
  return { rows, columns, u, scales, minimums };
}

/** The smallest and largest magnitude of a tensor's scales and minimums, but for zeros, as they come. */
export class ScaleRange {
  #smallest = Infinity;
  #largest = 0;

  add({ scales, minimums }: Pick<Groups, "scales" | "minimums">): void {
    for (const values of minimums ? [scales, minimums] : [scales]) {
      for (const value of values) {
        const magnitude = Math.abs(value);
        if (magnitude > this.#largest) this.#largest = magnitude;
        if (magnitude > 0 && magnitude < this.#smallest) this.#smallest = magnitude;
      }
    }
  }

  storage(): ScaleStorage {
    return scaleStorage(this.#smallest, this.#largest);
  }
}
