/** Activations in groups: signed 8 bits, 32 consecutive elements of a row sharing one scale. Weights are in weight-groups. */
import { roundHalfEven } from "./half.ts";

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
