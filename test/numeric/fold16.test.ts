/** fold16 adds in the contract's order, and in no other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fold16 } from "../../compiler/numeric/fold16.ts";

const f = Math.fround;
const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), { maxLength: 100 });

/** The contract's words again, from the tree's root: the sum of the lanes congruent to `lane` modulo `stride`. */
function folded(values: readonly number[], lane = 0, stride = 1): number {
  if (stride < 16) return f(folded(values, lane, 2 * stride) + folded(values, lane + stride, 2 * stride));
  return values.filter((_, i) => i % 16 === lane).reduce((sum, value) => f(sum + value), 0);
}

test("is the tree over 16 lanes", () => {
  fc.assert(
    fc.property(floats, (values) => {
      expect(fold16(values.length, (i) => values[i] ?? NaN)).toBe(folded(values));
    }),
  );
});

test("differs from a plain sum where rounding shows", () => {
  const values = [2 ** 24, ...Array.from({ length: 15 }, () => 1)];
  expect(fold16(16, (i) => values[i] ?? NaN)).toBe(2 ** 24 + 14);
  expect(values.reduce((sum, value) => f(sum + value), 0)).toBe(2 ** 24);
});

test("nothing sums to +0", () => {
  expect(fold16(0, () => 1)).toBe(0);
});
