import fc from "fast-check";
import { expect, test } from "vitest";
import { uniform } from "../../runtime/random.ts";

test("pinned values: samples must not change between versions", () => {
  expect([uniform(0, 0), uniform(0, 1), uniform(1, 0), uniform(2 ** 40 + 7, 1000)].map((x) => x * 2 ** 24)).toMatchInlineSnapshot(`
    [
      4322206,
      11595669,
      748658,
      6712895,
    ]
  `);
});

test("24 bits in [0, 1), fixed by seed and position alone", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.nat(), (seed, position) => {
      const value = uniform(seed, position);
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThan(1);
      expect(Number.isInteger(value * 2 ** 24)).toBe(true);
      expect(uniform(seed, position)).toBe(value);
    }),
  );
});

// 64 cells, 63 degrees of freedom: chi-square exceeds 120 with probability 2e-5.
function chiSquare(values: readonly number[]): number {
  const cells = new Array<number>(64).fill(0);
  for (const value of values) cells[Math.floor(value * 64)] = (cells[Math.floor(value * 64)] ?? 0) + 1;
  const mean = values.length / 64;
  return cells.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
}

test("uniform along positions, along seeds, along high seed words, and in pairs", () => {
  const range = Array.from({ length: 20_000 }, (_, i) => i);
  expect(chiSquare(range.map((i) => uniform(42, i)))).toBeLessThan(120);
  expect(chiSquare(range.map((i) => uniform(i, 42)))).toBeLessThan(120);
  expect(chiSquare(range.map((i) => uniform(i * 2 ** 32, 5)))).toBeLessThan(120);
  expect(chiSquare(range.map((i) => (Math.floor(uniform(3, i) * 8) * 8 + Math.floor(uniform(3, i + 1) * 8)) / 64))).toBeLessThan(120);
});
