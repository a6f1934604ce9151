/** Random matrices for tests of group quantisation. */
import fc from "fast-check";
import { quantizeRows, storeGroups, type GroupedWeights, type GroupFormat } from "../../compiler/numeric/weight-groups.ts";

const f = Math.fround;
const value = fc.float({ noNaN: true, noDefaultInfinity: true, min: f(-1e4), max: f(1e4) });
/** Matrices of a few rows, whole groups and parts of groups. */
export const matrices = fc
  .record({ rows: fc.integer({ min: 1, max: 3 }), width: fc.integer({ min: 1, max: 150 }) })
  .chain(({ rows, width }) =>
    fc.record({
      rows: fc.constant(rows),
      width: fc.constant(width),
      data: fc.array(value, { minLength: rows * width, maxLength: rows * width }).map((x) => Float32Array.from(x)),
    }),
  );

/** Index of the group's scale and the largest magnitude in it, for an element. */
export function groupOf(x: Float32Array, width: number, columns: number, row: number, k: number) {
  const start = k - (k % 32);
  const members = x.subarray(row * width + start, row * width + Math.min(start + 32, width));
  return { index: (row * columns) / 32 + start / 32, largest: members.reduce((most, member) => Math.max(most, Math.abs(member)), 0) };
}

/** Rows rounded as ggml does, their scales as they are stored. */
export function quantizeWeights(format: GroupFormat, w: Float32Array, rows: number, width: number): GroupedWeights {
  return storeGroups(format, quantizeRows(format, w, rows, width));
}
