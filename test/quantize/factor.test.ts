/** The factor against what it is a factor of. */
import { describe, expect, test } from "vitest";
import { identityFactor, type Factor } from "../../compiler/quantize/factor.ts";
import { Moments } from "../../compiler/quantize/moments.ts";
import { correlatedFactor, correlatedRows } from "./support.ts";

/** Below, at and beyond the rows that are factored at once. */
describe.each([5, 32, 77])("%i inputs", (width) => {
  const inputs = correlatedRows("factor", 2 * width, width);

  test("moments are the sum of products, however the rows come", () => {
    const [whole, split] = [new Moments(width), new Moments(width)];
    whole.add(inputs);
    for (let row = 0; row < 2 * width; row++) split.add(inputs.subarray(row * width, (row + 1) * width));
    expect(split.count).toBe(2 * width);
    expect(split.triangle()).toEqual(whole.triangle());
    for (const [i, j] of [
      [0, 0],
      [width - 1, 0],
      [width - 1, width - 1],
      [Math.floor(width / 2), 2],
    ] as const) {
      let sum = 0;
      for (let row = 0; row < 2 * width; row++) sum += (inputs[row * width + i] ?? 0) * (inputs[row * width + j] ?? 0);
      expect(whole.triangle()[(i * (i + 1)) / 2 + j]).toBeCloseTo(sum, 2);
    }
  });

  test("R^T R is the form", () => {
    const factor = correlatedFactor("factor", width);
    const { triangle, ridge } = factor.form;
    for (let i = 0; i < width; i++) {
      for (let j = 0; j <= i; j++) {
        const expected = (triangle[(i * (i + 1)) / 2 + j] ?? 0) + (i === j ? ridge : 0);
        expect(Math.abs(productOf(factor, i, j) - expected)).toBeLessThan(1e-9 * width * width);
      }
    }
  });
});

test("where nothing is known, every weight stands alone", () => {
  expect([0, 1].map((j) => productOf(identityFactor(3), 1, j))).toEqual([0, 1]);
});

/** Element [i, j] of R^T R. */
function productOf({ width, couplings, costs }: Factor, i: number, j: number): number {
  const c = (row: number, column: number): number => (row === column ? 1 : (couplings[(row * (row + 1)) / 2 + column] ?? 0));
  let sum = 0;
  for (let row = Math.max(i, j); row < width; row++) sum += (costs[row] ?? 0) * c(row, i) * c(row, j);
  return sum;
}
