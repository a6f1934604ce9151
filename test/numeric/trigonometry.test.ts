/** The compiler's own sine, cosine and power, and the RoPE tables made of them. */
import { expect, test } from "vitest";
import { inverseFrequencies, ropeAngle, ropeTables } from "../../compiler/numeric/rope.ts";
import { power, sinCos } from "../../compiler/numeric/trigonometry.ts";

/** Largest error of sine and cosine over the angles. */
function largestError(angles: Iterable<number>): number {
  let worst = 0;
  for (const angle of angles) {
    const { sin, cos } = sinCos(angle);
    worst = Math.max(worst, Math.abs(sin - Math.sin(angle)), Math.abs(cos - Math.cos(angle)));
  }
  return worst;
}

test("sine and cosine agree with the engine's to 1e-13", () => {
  expect(largestError(Array.from({ length: 200_000 }, (_, i) => i * 0.6537 * (i % 2 === 0 ? 1 : -1)))).toBeLessThan(1e-13);
});

test("sine and cosine are right near multiples of pi/4", () => {
  expect(largestError(Array.from({ length: 200_000 }, (_, i) => ((i - 100_000) * Math.PI) / 4))).toBeLessThan(1e-13);
});

test("power agrees with the engine's to 1e-13 of its size", () => {
  for (const base of [2, 10, 1e4, 1e6, 5e6, 1e7, 0.3]) {
    for (let exponent = -1; exponent <= 1; exponent += 1 / 64) {
      const exact = base ** exponent;
      expect(Math.abs(power(base, exponent) - exact) / exact).toBeLessThan(1e-13);
    }
  }
});

test("inverse frequencies fall from 1 by a constant factor", () => {
  const frequencies = inverseFrequencies(64, 1e6);
  expect(frequencies).toHaveLength(32);
  expect(frequencies[0]).toBe(1);
  frequencies.forEach((frequency, m) => {
    expect(Math.abs(frequency * 1e6 ** ((2 * m) / 64) - 1)).toBeLessThan(2e-7);
  });
});

test("the two tables give the angle of every position", () => {
  const headSize = 16;
  const tables = ropeTables(headSize, 1e6, 4096);
  expect(tables.low).toHaveLength(256 * headSize);
  expect(tables.high).toHaveLength(16 * headSize);
  const frequencies = inverseFrequencies(headSize, 1e6);
  for (let position = 0; position < 4096; position += 13) {
    frequencies.forEach((frequency, m) => {
      const { cos, sin } = ropeAngle(tables, headSize, position, m);
      expect(Math.abs(cos - Math.cos(position * frequency))).toBeLessThan(2e-7);
      expect(Math.abs(sin - Math.sin(position * frequency))).toBeLessThan(2e-7);
    });
  }
});

test("a position below 256 has the low table's angle exactly", () => {
  const tables = ropeTables(8, 1e4, 256);
  for (let position = 0; position < 256; position++) {
    for (let m = 0; m < 4; m++) {
      expect(ropeAngle(tables, 8, position, m)).toEqual({ cos: tables.low[position * 8 + m], sin: tables.low[position * 8 + 4 + m] });
    }
  }
});
