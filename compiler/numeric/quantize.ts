/**
 * Group quantisation: activations to signed 8 bits, weights to unsigned 4 bits. Groups are 32 consecutive elements of a row.
 */
import { bitsOfF32, f32OfBits, f16Max, f16MinNormal, f16ToF32, f32ToF16, roundHalfEven } from "./half.ts";

const f = Math.fround;

/** Elements that share one scale. */
export const groupSize = 32;
/** Two groups make a block: rows are padded to whole blocks, so that every panel stays on cache lines. */
export const blockSize = 64;
/** Below this largest magnitude a group of activations counts as zero. */
export const smallestActivation = 2 ** -100;

/** Rows of signed 8-bit groups: x = q * scale. `columns` is the row's length padded to whole blocks; the padding is zero. */
export interface QuantizedActivations {
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns] */
  readonly q: Int8Array;
  /** [rows, columns / 32] */
  readonly scales: Float32Array;
  /** Sum of each group's q: [rows, columns / 32]. */
  readonly sums: Int32Array;
}

/** Rounds up to a multiple. */
export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Quantises `rows` rows of `width` finite values: d = max|x| / 127, q = nearest-even(x * (127 / max|x|)). */
export function quantizeActivations(x: Float32Array, rows: number, width: number): QuantizedActivations {
  const columns = roundUp(width, blockSize);
  const groups = columns / groupSize;
  const q = new Int8Array(rows * columns);
  const scales = new Float32Array(rows * groups);
  const sums = new Int32Array(rows * groups);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = group * groupSize;
      const values = x.subarray(row * width + start, row * width + Math.max(start, Math.min(start + groupSize, width)));
      const index = row * groups + group;
      const { scale, sum } = quantizeGroup(values, q.subarray(row * columns + start));
      scales[index] = scale;
      sums[index] = sum;
    }
  }
  return { rows, columns, q, scales, sums };
}

/** Quantises one group into `q`; returns its scale and the sum of its q. */
export function quantizeGroup(values: Float32Array, q: Int8Array): { scale: number; sum: number } {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  if (largest < smallestActivation) return { scale: 0, sum: 0 };
  const inverse = f(127 / largest);
  let sum = 0;
  values.forEach((value, i) => {
    // |x * r| <= 127 * (1 + 2^-23), which rounds to 127: the contract's clamp never acts.
    const rounded = roundHalfEven(f(value * inverse));
    q[i] = rounded;
    sum += rounded;
  });
  return { scale: f(largest / 127), sum };
}

/** Rows of unsigned 4-bit groups: w = scale * (u - 8), then times 2^-exponent. */
export interface Q4Weights {
  readonly rows: number;
  /** The row's length padded to whole blocks; padding is u = 8. */
  readonly columns: number;
  /** One 4-bit value a byte: [rows, columns]. */
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

/** Groups of weights below this magnitude count as zero: the reciprocal of their scale would leave binary32. */
const smallestWeight = 2 ** -120;

/** q4_0's scale of one group, not rounded: the value of largest magnitude (the first of equals) becomes -8. */
export function q4GroupScale(values: Float32Array): number {
  let extreme = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  return Math.abs(extreme) < smallestWeight ? 0 : f(extreme / -8);
}

/**
 * A scale as stored: 11 significant bits, whatever the format, so that the format never decides a product's bits. A zero scale is
 * stored as the smallest normal f16 (all its u are 8).
 */
export function storedScale(scale: number, { format, exponent }: ScaleStorage): number {
  if (scale === 0) return f16MinNormal;
  if (format === "f16") return f16ToF32(f32ToF16(f(scale * 2 ** exponent)));
  const bits = bitsOfF32(scale);
  return f32OfBits((bits + 0xfff + ((bits >>> 13) & 1)) & ~0x1fff);
}

/** q4_0's values of one group under its unrounded scale (ggml's rule): u = min(15, trunc(w / d + 8.5)). */
export function q4GroupValues(values: Float32Array, scale: number, u: Uint8Array): void {
  const inverse = scale === 0 ? 0 : f(1 / scale);
  values.forEach((value, i) => {
    u[i] = Math.min(15, Math.trunc(f(f(value * inverse) + 8.5)));
  });
}

/** Quantises `rows` rows of `width` finite weights to q4_0. */
export function quantizeQ4(w: Float32Array, rows: number, width: number): Q4Weights {
  const columns = roundUp(width, blockSize);
  const groups = columns / groupSize;
  const exact = new Float32Array(rows * groups);
  const u = new Uint8Array(rows * columns).fill(8);
  let smallest = Infinity;
  let largest = 0;
  for (let row = 0; row < rows; row++) {
    for (let start = 0; start < width; start += groupSize) {
      const values = w.subarray(row * width + start, row * width + Math.min(start + groupSize, width));
      const scale = q4GroupScale(values);
      exact[row * groups + start / groupSize] = scale;
      q4GroupValues(values, scale, u.subarray(row * columns + start));
      if (scale === 0) continue;
      smallest = Math.min(smallest, Math.abs(scale));
      largest = Math.max(largest, Math.abs(scale));
    }
  }
  const storage = scaleStorage(smallest, largest);
  return { rows, columns, u, scales: exact.map((scale) => storedScale(scale, storage)), ...storage };
}
