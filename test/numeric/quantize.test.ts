/** Quantised activations: their formulas by another road, and their limits. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantizeActivations } from "../../compiler/numeric/quantize.ts";
import { groupOf, matrices } from "./matrices.ts";

const f = Math.fround;
describe("activations", () => {
  test("q * d is within half a step, sums and padding are right", () => {
    fc.assert(
      fc.property(matrices, ({ rows, width, data }) => {
        const { columns, q, scales, sums } = quantizeActivations(data, rows, width);
        expect(columns % 64).toBe(0);
        expect(columns - width).toBeLessThan(64);
        for (let row = 0; row < rows; row++) {
          for (let k = 0; k < columns; k++) {
            const found = q[row * columns + k] ?? NaN;
            if (k >= width) {
              expect(found).toBe(0);
              continue;
            }
            const { index, largest } = groupOf(data, width, columns, row, k);
            const x = data[row * width + k] ?? NaN;
            const scale = scales[index] ?? NaN;
            if (largest < 2 ** -100) {
              expect([scale, found]).toEqual([0, 0]);
              continue;
            }
            expect(scale).toBe(f(largest / 127));
            expect(Math.abs(found * scale - x)).toBeLessThanOrEqual(largest * (0.5 / 127 + 1e-6));
            if (Math.abs(x) === largest) expect(Math.abs(found)).toBe(127);
          }
        }
        sums.forEach((sum, group) => {
          expect(sum).toBe(q.subarray(group * 32, group * 32 + 32).reduce((total, each) => total + each, 0));
        });
      }),
    );
  });

  test("ties round to even and tiny groups are zero", () => {
    const ties = quantizeActivations(Float32Array.from([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]), 1, 7);
    expect([...ties.q.subarray(0, 7)]).toEqual([127, 0, 2, 2, 0, -2, -2]);
    expect(ties.scales[0]).toBe(1);
    expect(ties.sums[0]).toBe(127);
    const tiny = quantizeActivations(Float32Array.from([f(2 ** -100.5), -(2 ** -101)]), 1, 2);
    expect([tiny.scales[0], tiny.q[0], tiny.q[1]]).toEqual([0, 0, 0]);
    const smallest = quantizeActivations(Float32Array.from([2 ** -100]), 1, 1);
    expect([smallest.scales[0], smallest.q[0]]).toEqual([f(2 ** -100 / 127), 127]);
  });
});
