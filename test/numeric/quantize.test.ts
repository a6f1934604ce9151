/** Group quantisation: its formulas by another road, its limits, and how scales are stored. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsOfF32, f16ToF32, f32ToF16 } from "../../compiler/numeric/half.ts";
import { quantizeActivations, quantizeQ4, scaleStorage, storedScale } from "../../compiler/numeric/quantize.ts";

const f = Math.fround;
const value = fc.float({ noNaN: true, noDefaultInfinity: true, min: f(-1e4), max: f(1e4) });
const matrix = fc.record({ rows: fc.integer({ min: 1, max: 3 }), width: fc.integer({ min: 1, max: 150 }) }).chain(({ rows, width }) =>
  fc.record({
    rows: fc.constant(rows),
    width: fc.constant(width),
    data: fc.array(value, { minLength: rows * width, maxLength: rows * width }).map((x) => Float32Array.from(x)),
  }),
);

/** Index of the group's scale and the largest magnitude in it, for an element. */
function groupOf(x: Float32Array, width: number, columns: number, row: number, k: number) {
  const start = k - (k % 32);
  const members = x.subarray(row * width + start, row * width + Math.min(start + 32, width));
  return { index: (row * columns) / 32 + start / 32, largest: members.reduce((most, member) => Math.max(most, Math.abs(member)), 0) };
}

describe("activations", () => {
  test("q * d is within half a step, sums and padding are right", () => {
    fc.assert(
      fc.property(matrix, ({ rows, width, data }) => {
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

describe("q4_0 weights", () => {
  test("values stay within a step, the extreme becomes -8, padding is 8", () => {
    fc.assert(
      fc.property(matrix, ({ rows, width, data }) => {
        const { columns, u, scales, exponent } = quantizeQ4(data, rows, width);
        for (let row = 0; row < rows; row++) {
          for (let k = 0; k < columns; k++) {
            const code = u[row * columns + k] ?? NaN;
            expect(code).toBeLessThanOrEqual(15);
            if (k >= width) {
              expect(code).toBe(8);
              continue;
            }
            const { index, largest } = groupOf(data, width, columns, row, k);
            const scale = (scales[index] ?? NaN) * 2 ** -exponent;
            const x = data[row * width + k] ?? NaN;
            // Half a step, but a whole one at +8 steps, which is clamped to +7; plus the stored scale's rounding.
            if (largest >= 2 ** -120) expect(Math.abs(scale * (code - 8) - x)).toBeLessThanOrEqual(largest * (1 / 8 + 1e-3));
          }
        }
      }),
    );
  });

  test("the first of equal extremes decides the sign", () => {
    const { u, scales } = quantizeQ4(Float32Array.from([1, -1, 0.5, 0]), 1, 4);
    expect([...u.subarray(0, 4)]).toEqual([0, 15, 4, 8]);
    expect(scales[0]).toBe(-0.125);
  });

  test("a group of zeros has a normal scale and only eights", () => {
    const { u, scales, exponent } = quantizeQ4(new Float32Array(40), 1, 40);
    expect(u.every((code) => code === 8)).toBe(true);
    expect(scales.every((scale) => scale === 2 ** -14)).toBe(true);
    expect(exponent).toBe(0);
  });

  test.each([1e-9, 1e-30, 1e-36, 1, 1e5, 1e30])("weights around %f keep their relative accuracy", (size) => {
    const data = Float32Array.from({ length: 64 }, (_, i) => size * Math.sin(i + 1));
    const { u, scales, exponent, format } = quantizeQ4(data, 1, 64);
    expect(format).toBe("f16");
    for (const scale of scales) expect(Math.abs(scale)).toBeGreaterThanOrEqual(2 ** -14);
    data.forEach((x, k) => {
      const found = (scales[Math.floor(k / 32)] ?? NaN) * 2 ** -exponent * ((u[k] ?? NaN) - 8);
      expect(Math.abs(found - x)).toBeLessThan(size / 7);
    });
  });
});

describe("storage of scales", () => {
  const magnitudes = fc
    .integer({ min: -120, max: 120 })
    .chain((exponent) => fc.double({ min: 1, max: 1.99, noNaN: true }).map((m) => f(m * 2 ** exponent)));

  test("scales in f16's range stay as they are", () => {
    expect(scaleStorage(2 ** -14, 65504)).toEqual({ format: "f16", exponent: 0 });
    expect(scaleStorage(Infinity, 0)).toEqual({ format: "f16", exponent: 0 });
  });

  test("small or large scales move by one power of two", () => {
    expect(scaleStorage(2 ** -20, 2 ** -10)).toEqual({ format: "f16", exponent: 6 });
    expect(scaleStorage(2 ** 0, 2 ** 20)).toEqual({ format: "f16", exponent: -5 });
  });

  test("too wide a range is stored in f32", () => {
    expect(scaleStorage(2 ** -20, 2 ** 12)).toEqual({ format: "f32", exponent: 0 });
    expect(scaleStorage(2 ** -24, 2 ** 16)).toEqual({ format: "f32", exponent: 0 });
  });

  test("what is stored has eleven bits, within half a unit of the last, and is a normal f16 after the move", () => {
    fc.assert(
      fc.property(magnitudes, magnitudes, fc.boolean(), (a, b, negative) => {
        const [smallest, largest] = [Math.min(a, b), Math.max(a, b)];
        const storage = scaleStorage(smallest, largest);
        for (const magnitude of [smallest, largest]) {
          const scale = negative ? -magnitude : magnitude;
          const stored = storedScale(scale, storage);
          if (storage.format === "f16") {
            expect(Math.abs(stored)).toBeGreaterThanOrEqual(2 ** -14);
            expect(f16ToF32(f32ToF16(stored))).toBe(stored);
          }
          // Eleven bits in either format: a product's bits do not tell which it was.
          expect(bitsOfF32(stored) & 0x1fff).toBe(0);
          expect(Math.abs(stored * 2 ** -storage.exponent - scale)).toBeLessThanOrEqual(magnitude * 2 ** -11);
        }
      }),
    );
  });

  test("f32 is chosen only where no power of two would do", () => {
    fc.assert(
      fc.property(magnitudes, magnitudes, (a, b) => {
        const [smallest, largest] = [Math.min(a, b), Math.max(a, b)];
        if (scaleStorage(smallest, largest).format === "f16") return;
        for (let exponent = -140; exponent <= 140; exponent++) {
          expect(smallest * 2 ** exponent >= 2 ** -14 && largest * 2 ** exponent <= 65504).toBe(false);
        }
      }),
    );
  });
});
