/** Rounding by loss: what the loss is, that it is never above plain rounding's, and that a row's groups depend on that row alone. */
import { describe, expect, test } from "vitest";
import { blockSize, roundUp } from "../../compiler/numeric/quantize.ts";
import { groupFormats, quantizeRows, storedScale, type Groups } from "../../compiler/numeric/weight-groups.ts";
import { identityFactor } from "../../compiler/quantize/factor.ts";
import { roundedValues, roundRows } from "../../compiler/quantize/round-rows.ts";
import { correlatedFactor, lossOf, numbers } from "./support.ts";

/** Whole blocks, and a row that ends within a group. */
const widths = [64, 105] as const;
const rows = 37;

describe.each(Object.values(groupFormats))("$name", (format) => {
  describe.each(widths)("rows of %i", (width) => {
    const w = numbers(`weights ${width}`, rows * width);
    const factor = correlatedFactor(`inputs ${width}`, width);
    const plain = roundedValues(format, quantizeRows(format, w, rows, width), width);
    const { groups, loss } = roundRows(format, w, rows, factor);
    const rounded = roundedValues(format, groups, width);

    test("the loss is that of the groups, and far below plain rounding's", () => {
      expect(loss / lossOf(factor.form, w, rounded)).toBeCloseTo(1, 3);
      expect(loss).toBeLessThan(0.7 * lossOf(factor.form, w, plain));
    });

    test("where every error counts alike, plain rounding is not better", () => {
      const form = { width, triangle: new Float32Array((width * (width + 1)) / 2), ridge: 1 };
      const alone = roundRows(format, w, rows, identityFactor(width));
      const found = lossOf(form, w, roundedValues(format, alone.groups, width));
      expect(alone.loss / found).toBeCloseTo(1, 5);
      expect(found).toBeLessThanOrEqual(1.001 * lossOf(form, w, plain));
    });

    test("rows are rounded alone", () => {
      const [start, count] = [5, 7];
      const some = roundRows(format, w.subarray(start * width, (start + count) * width), count, factor).groups;
      const columns = roundUp(width, blockSize);
      expect(some).toEqual({
        rows: count,
        columns,
        u: groups.u.subarray(start * columns, (start + count) * columns),
        ...ofGroups(groups, (start * columns) / 32, ((start + count) * columns) / 32),
      });
    });

    test("scales have 11 significant bits, numbers fit, and padding is the offset", () => {
      const stored = (value: number): number => (value === 0 ? 0 : storedScale(value, { format: "f32", exponent: 0 }));
      expect(groups.scales.map(stored)).toEqual(groups.scales);
      expect(groups.minimums?.map(stored)).toEqual(groups.minimums ?? undefined);
      expect(Math.max(...groups.u)).toBeLessThan(2 ** format.bits);
      const padding = groups.u.filter((_, i) => i % groups.columns >= width);
      expect(new Set(padding)).toEqual(new Set(width % blockSize === 0 ? [] : [format.offset]));
    });
  });

  test("weights of 0 stay 0", () => {
    const width = 64;
    const { groups } = roundRows(format, new Float32Array(2 * width), 2, correlatedFactor("zero", width));
    expect([...groups.scales]).toEqual([0, 0, 0, 0]);
    expect(new Set(groups.u)).toEqual(new Set([format.offset]));
  });
});

function ofGroups({ scales, minimums }: Groups, start: number, end: number): Pick<Groups, "scales" | "minimums"> {
  return { scales: scales.subarray(start, end), minimums: minimums?.subarray(start, end) ?? null };
}
