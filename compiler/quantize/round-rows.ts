/** Rounds rows of weights to groups with the least loss that one pass finds, given the factor of their inputs' second moments. */
import { blockSize, groupSize, roundUp } from "../numeric/quantize.ts";
import type { GroupFormat, Groups } from "../numeric/weight-groups.ts";
import { descend } from "./descend.ts";
import type { Factor } from "./factor.ts";
import { GroupRounder } from "./round-group.ts";
import { triangleRow } from "./products.ts";

/** Rows that go through a group before the next one, so that its couplings are read once for all. */
const rowsAtOnce = 32;

export interface Rounded {
  readonly groups: Groups;
  /** The loss of all rows: tr(dW H dW^T). */
  readonly loss: number;
}

/** Rounds `w`, [rows, factor.width]. Each row's result depends on that row alone. */
export function roundRows(format: GroupFormat, w: Float32Array, rows: number, factor: Factor): Rounded {
  const { width } = factor;
  const columns = roundUp(width, blockSize);
  const scales = new Float32Array((rows * columns) / groupSize);
  const minimums = format.hasMinimums ? new Float32Array(scales.length) : null;
  const u = new Uint8Array(rows * columns).fill(format.offset);
  const rounder = new GroupRounder(format);
  const errors = new Float64Array(rowsAtOnce * width);
  const aims = new Float64Array(rowsAtOnce * groupSize);
  let loss = 0;
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first);
    for (let start = 0; start < width; start += groupSize) {
      const length = Math.min(groupSize, width - start);
      loadCouplings(factor, start, length, rounder);
      findAims(factor, errors, count, start, length, aims);
      for (let row = 0; row < count; row++) {
        for (let k = 0; k < length; k++) {
          const weight = w[(first + row) * width + start + k] ?? 0;
          rounder.weights[k] = weight;
          rounder.aims[k] = weight + (aims[row * groupSize + k] ?? 0);
        }
        loss += rounder.round(length);
        const group = ((first + row) * columns + start) / groupSize;
        scales[group] = rounder.scale;
        if (minimums) minimums[group] = rounder.minimum;
        u.set(length === groupSize ? rounder.u : rounder.u.subarray(0, length), (first + row) * columns + start);
        for (let k = 0; k < length; k++) errors[row * width + start + k] = rounder.errors[k] ?? 0;
      }
    }
  }
  const groups = { rows, columns, u, scales, minimums };
  return { groups, loss: factor.form ? loss - descend(format, w, groups, factor.form) : loss };
}

function loadCouplings({ couplings, costs }: Factor, start: number, length: number, rounder: GroupRounder): void {
  for (let k = 0; k < length; k++) {
    const row = triangleRow(start + k) + start;
    for (let j = 0; j < k; j++) rounder.couplings[j * groupSize + k] = couplings[row + j] ?? 0;
    rounder.costs[k] = costs[start + k] ?? 0;
  }
}

/** aims[row, k] = sum over j < start of C[start + k, j] * errors[row, j]. */
function findAims(
  { width, couplings }: Factor,
  errors: Float64Array,
  rows: number,
  start: number,
  length: number,
  aims: Float64Array,
): void {
  for (let k = 0; k < length; k++) {
    const at = triangleRow(start + k);
    for (let row = 0; row < rows; row += 4) {
      const first = row * width;
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      for (let j = 0; j < start; j++) {
        const coupling = couplings[at + j] ?? 0;
        a += coupling * (errors[first + j] ?? 0);
        b += coupling * (errors[first + width + j] ?? 0);
        c += coupling * (errors[first + 2 * width + j] ?? 0);
        d += coupling * (errors[first + 3 * width + j] ?? 0);
      }
      aims[row * groupSize + k] = a;
      aims[(row + 1) * groupSize + k] = b;
      aims[(row + 2) * groupSize + k] = c;
      aims[(row + 3) * groupSize + k] = d;
    }
  }
}

/** The weights that groups stand for, [rows, width]. */
export function roundedValues({ offset }: GroupFormat, { rows, columns, u, scales, minimums }: Groups, width: number): Float32Array {
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < width; k++) {
      const index = row * columns + k;
      const group = Math.floor(index / groupSize);
      values[row * width + k] = (scales[group] ?? 0) * ((u[index] ?? 0) - offset) + (minimums?.[group] ?? 0);
    }
  }
  return values;
}
