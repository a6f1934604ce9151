/** Weights in groups: ggml's rounding by another road, the limits of each format, and how scales are stored. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bitsOfF32, f16ToF32, f32OfBits, f32ToF16 } from "../../compiler/numeric/half.ts";
import {
  groupFormatNamed,
  groupFormats,
  quantizeRows,
  scaleStorage,
  storedMinimum,
  storedMinimumBits,
  storedScale,
  storeGroups,
} from "../../compiler/numeric/weight-groups.ts";
import { groupOf, matrices, quantizeWeights } from "./matrices.ts";

const f = Math.fround;
const { q3_0: q3, q4_0: q4, q4_1: q41, q8_0: q8 } = groupFormats;

/** Most that a number may be off, in units of its group's largest magnitude, before its scale is rounded for storage. */
const errors = [
  // Half a step, but a whole one at +8 steps, which is clamped to +7.
  { format: q3, codes: [0, 7], error: 1 / 4 },
  { format: q4, codes: [0, 15], error: 1 / 8 },
  // Half of a fifteenth of the way from the least to the largest, which is twice the magnitude at most.
  { format: q41, codes: [0, 15], error: 1 / 15 },
  { format: q8, codes: [1, 255], error: 0.5 / 127 },
] as const;

test("formats are found by name, and other encodings have none", () => {
  const names = ["q3_0", "q4_0", "q4_1", "q8_0", "q8", "f32", "toString"];
  expect(names.map(groupFormatNamed)).toEqual([q3, q4, q41, q8, undefined, undefined, undefined]);
});

describe.each(errors)("$format.name", ({ format, codes, error }) => {
  const [lowest, highest] = codes;

  test("numbers stay within a step, codes within their range, and padding is the offset", () => {
    fc.assert(
      fc.property(matrices, ({ rows, width, data }) => {
        const { columns, u, offset, scales, minimums, exponent } = quantizeWeights(format, data, rows, width);
        expect([columns % 64, offset]).toEqual([0, format.offset]);
        for (let row = 0; row < rows; row++) {
          for (let k = 0; k < columns; k++) {
            const code = u[row * columns + k] ?? NaN;
            if (k >= width) {
              expect(code).toBe(offset);
              continue;
            }
            expect(code).toBeGreaterThanOrEqual(lowest);
            expect(code).toBeLessThanOrEqual(highest);
            const { index, largest } = groupOf(data, width, columns, row, k);
            const found = ((scales[index] ?? NaN) * (code - offset) + (minimums?.[index] ?? 0)) * 2 ** -exponent;
            // Scales and minimums are stored with eleven bits.
            const bound = largest * (error + (minimums ? 3 : 1) * 2 ** -11 + 1e-6);
            if (largest >= 2 ** -120) expect(Math.abs(found - (data[row * width + k] ?? NaN))).toBeLessThanOrEqual(bound);
          }
        }
      }),
    );
  });

  test.each([0, -0, 2 ** -121, -(2 ** -121)])("a group of %d counts as zero: a normal scale, and the offset for codes", (value) => {
    const { u, scales, exponent } = quantizeWeights(format, new Float32Array(40).fill(value), 1, 40);
    expect(u).toEqual(new Uint8Array(64).fill(format.offset));
    expect(scales).toEqual(new Float32Array(2).fill(2 ** -14));
    expect(exponent).toBe(0);
  });

  test.each([1e-9, 1e-30, 1e-36, 1, 1e5, 1e30])("weights around %d keep their relative accuracy", (size) => {
    const data = Float32Array.from({ length: 64 }, (_, i) => size * Math.sin(i + 1));
    const { u, scales, minimums, exponent, format: storage } = quantizeWeights(format, data, 1, 64);
    expect(storage).toBe("f16");
    for (const scale of scales) expect(Math.abs(scale)).toBeGreaterThanOrEqual(2 ** -14);
    data.forEach((x, k) => {
      const group = Math.floor(k / 32);
      const found = ((scales[group] ?? NaN) * ((u[k] ?? NaN) - format.offset) + (minimums?.[group] ?? 0)) * 2 ** -exponent;
      expect(Math.abs(found - x)).toBeLessThan(size * (error + (minimums ? 3 : 1) * 2 ** -11));
    });
  });
});

describe("q4_0", () => {
  test("the first of equal extremes becomes -8 and decides the sign", () => {
    const { u, scales } = quantizeWeights(q4, Float32Array.from([1, -1, 0.5, 0]), 1, 4);
    expect([...u.subarray(0, 4)]).toEqual([0, 15, 4, 8]);
    expect(scales[0]).toBe(-0.125);
  });

  test("a number just below the extreme is none", () => {
    expect(quantizeWeights(q4, Float32Array.of(f32OfBits(bitsOfF32(1) - 1), -1), 1, 2).scales[0]).toBe(0.125);
  });
});

describe("q3_0", () => {
  test("is q4_0's rounding with half the steps: the first of equal extremes becomes -4", () => {
    const { u, scales } = quantizeWeights(q3, Float32Array.from([1, -1, 0.5, 0, 0.13, 0.12]), 1, 6);
    // 0.125 is half a step, which is rounded away from 0 in the direction of u.
    expect([...u.subarray(0, 6)]).toEqual([0, 7, 2, 4, 3, 4]);
    expect(scales[0]).toBe(-0.25);
  });
});

describe("q4_1", () => {
  /** ggml's quantize_row_q4_1_ref, every operation one binary32 rounding. */
  function plainGroup(values: readonly number[]): { readonly u: readonly number[]; readonly scale: number; readonly minimum: number } {
    const [least, largest] = [Math.min(...values), Math.max(...values)];
    const scale = f(f(largest - least) / 15);
    const inverse = scale === 0 ? 0 : f(1 / scale);
    return { u: values.map((value) => Math.min(15, Math.trunc(f(f(f(value - least) * inverse) + 0.5)))), scale, minimum: least };
  }

  test("rounds as ggml does", () => {
    const value = fc.float({ noNaN: true, noDefaultInfinity: true, min: f(-1e4), max: f(1e4) }).map((x) => (Math.abs(x) < 1e-30 ? 0 : x));
    fc.assert(
      fc.property(fc.array(value, { minLength: 32, maxLength: 32 }), (values) => {
        const { u, scales, minimums } = quantizeRows(q41, Float32Array.from(values), 1, 32);
        const found = { u: [...u.subarray(0, 32)], scale: scales[0], minimum: minimums?.[0] };
        const wanted = plainGroup(values);
        // Of equal zeros either may be the least.
        expect(found).toEqual({ ...wanted, minimum: Object.is(found.minimum, -wanted.minimum) ? found.minimum : wanted.minimum });
      }),
    );
  });

  test("the least number becomes 0, the largest 15, and equal numbers are their own minimum", () => {
    const { u, scales, minimums } = quantizeWeights(q41, Float32Array.from([3, -4.5, 3, -1.75, 0]), 1, 5);
    expect([[...u.subarray(0, 5)], scales[0], minimums?.[0]]).toEqual([[15, 0, 15, 6, 9], 0.5, -4.5]);
    const equal = quantizeWeights(q41, new Float32Array(32).fill(0.75), 1, 32);
    expect([[...new Set(equal.u)], equal.scales[0], equal.minimums?.[0]]).toEqual([[0], 2 ** -14, 0.75]);
  });

  test("minimums may be larger than every scale: then these decide how both are stored", () => {
    const shifted = Float32Array.from({ length: 32 }, (_, i) => 1e6 + 1e3 * i);
    const { format, exponent, minimums } = quantizeWeights(q41, shifted, 1, 32);
    expect([format, exponent]).toEqual(["f16", -4]);
    expect((minimums?.[0] ?? NaN) * 2 ** -exponent).toBeCloseTo(1e6, -3);
    const far = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? 1e6 + i : i * 1e-6));
    expect(quantizeWeights(q41, far, 1, 64).format).toBe("f32");
  });
});

describe("q8_0", () => {
  test("the extreme becomes 127 steps of its own sign, and the scale is positive", () => {
    for (const [extreme, code] of [
      [127, 255],
      [-127, 1],
    ] as const) {
      const { u, scales } = quantizeWeights(q8, Float32Array.of(1, extreme), 1, 2);
      expect([...u.subarray(0, 2), scales[0]]).toEqual([129, code, 1]);
    }
  });

  test("halves round away from zero", () => {
    // The scale is 1, so these are steps.
    const steps = [127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 126.5, -126.5, 0.49, -0.49];
    const { u } = quantizeWeights(q8, Float32Array.from(steps), 1, steps.length);
    expect([...u.subarray(0, steps.length)].map((code) => code - 128)).toEqual([127, 1, -1, 2, -2, 3, -3, 127, -127, 0, 0]);
  });

  test("a number next to a half rounds to its nearer neighbour", () => {
    // The scale of every group is 1: its first number is 127.
    const numbers = Array.from({ length: 127 }, (_, k) => bitsOfF32(k + 0.5)).flatMap((half) =>
      [half - 1, half, half + 1].flatMap((bits) => [f32OfBits(bits), -f32OfBits(bits)]),
    );
    const data = Float32Array.from(numbers.flatMap((x, i) => (i % 31 === 0 ? [127, x] : [x])));
    const { u } = quantizeWeights(q8, data, 1, data.length);
    expect([...u.subarray(0, data.length)]).toEqual([...data].map((x) => 128 + Math.sign(x) * Math.floor(Math.abs(x) + 0.5)));
  });

  test("codes come from the scale before it is stored", () => {
    // The stored scale is the larger one: under it some of these would be less than half a step.
    const data = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? 100 : (100 / 127) * (i + 0.5001)));
    const { u, scales } = quantizeWeights(q8, data, 1, 32);
    expect(scales[0]).toBeGreaterThan(f(100 / 127));
    expect([...u.subarray(1, 32)].map((code) => code - 128)).toEqual(Array.from({ length: 31 }, (_, i) => i + 2));
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

  test("a minimum that would be a subnormal half moves all scales and minimums, and 0 has no sign", () => {
    const groups = {
      rows: 1,
      columns: 64,
      u: new Uint8Array(64),
      scales: Float32Array.of(0.5, 0.25),
      minimums: Float32Array.of(2 ** -19, -0),
    };
    const { format, exponent, scales, minimums } = storeGroups(groupFormats.q4_1, groups);
    expect({ format, exponent }).toEqual({ format: "f16", exponent: 5 });
    expect([...scales, ...(minimums ?? [])]).toEqual([16, 8, 2 ** -14, 0]);
    expect(storedMinimumBits(-0, { format: "f32", exponent: 0 })).toBe(0);
    expect(storedMinimum(2 ** -40 + 2 ** -60, { format: "f32", exponent: 0 })).toBe(2 ** -40);
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
