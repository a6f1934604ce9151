/** The kernels of a mixture of experts by what they mean: a stable sort by expert, and a router that is never led astray. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { groupListBytes, groupRows, groupScratchBytes } from "../../compiler/kernel/library/expert-groups.ts";
import { router, routerScratchBytes } from "../../compiler/kernel/library/router.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";

function region(bytes: number): { readonly bytes: Uint8Array; readonly numbers: Int32Array; readonly floats: Float32Array } {
  const buffer = new ArrayBuffer(bytes);
  return { bytes: new Uint8Array(buffer), numbers: new Int32Array(buffer), floats: new Float32Array(buffer) };
}

/** Experts, and for each row some of them. */
const choices = fc
  .record({ expertCount: fc.integer({ min: 1, max: 40 }), rows: fc.integer({ min: 0, max: 20 }) })
  .chain(({ expertCount, rows }) =>
    fc.integer({ min: 1, max: Math.min(5, expertCount) }).chain((topK) => {
      const row = fc.uniqueArray(fc.nat(expertCount - 1), { minLength: topK, maxLength: topK });
      return fc.record({
        expertCount: fc.constant(expertCount),
        topK: fc.constant(topK),
        rows: fc.array(row, { minLength: rows, maxLength: rows }),
      });
    }),
  );

test("places are those of a stable sort by expert, and the groups list who has any", () => {
  fc.assert(
    fc.property(choices, fc.nat(3), ({ expertCount, topK, rows }, padding) => {
      const stride = topK + padding;
      const [experts, scratch, places, groups] = [
        region(4 * rows.length * stride),
        region(groupScratchBytes(expertCount)),
        region(4 * rows.length * stride),
        region(groupListBytes(expertCount)),
      ];
      rows.forEach((row, i) => {
        experts.numbers.set(row, i * stride);
      });
      interpretKernel(groupRows({ expertCount, topK, stride }), [experts, scratch, places, groups, rows.length]);

      const sorted = rows
        .flatMap((row, i) => row.map((expert, slot) => ({ expert, row: i, slot })))
        .toSorted((a, b) => a.expert - b.expert || a.row - b.row);
      sorted.forEach(({ row, slot }, place) => {
        expect(places.numbers[row * stride + slot]).toBe(place);
      });
      const present = [...new Set(sorted.map(({ expert }) => expert))];
      const entries = Array.from({ length: groups.numbers[0] ?? 0 }, (_, i) => [...groups.numbers.subarray(4 + 4 * i, 7 + 4 * i)]);
      expect(entries).toEqual(
        present.map((expert) => [
          expert,
          sorted.findIndex((each) => each.expert === expert),
          1 + sorted.findLastIndex((each) => each.expert === expert),
        ]),
      );
    }),
  );
});

/** Any f32 at all: what comes of infinities and NaN is outside the numeric contract, but must not lead outside the memory. */
const wild = fc.oneof({ weight: 5, arbitrary: fc.float() }, fc.constantFrom(NaN, Infinity, -Infinity, 3e38, -3e38));

test("whatever comes in, a row goes to topK different experts, in rising order", () => {
  const shape = fc.record({ expertCount: fc.integer({ min: 1, max: 35 }), width: fc.integer({ min: 1, max: 3 }), wanted: fc.nat(5) });
  fc.assert(
    fc.property(shape, fc.boolean(), fc.infiniteStream(wild), ({ expertCount, width, wanted }, bias, numbers) => {
      const topK = 1 + (wanted % expertCount);
      const spec = { expertCount, width, topK, bias, epsilon: 1e-6, scale: 1, inputStride: width, outputStride: topK };
      const padded = roundUp(expertCount, 16);
      const filled = (count: number): ReturnType<typeof region> => {
        const found = region(4 * count);
        for (let i = 0; i < count; i++) found.floats[i] = Number(numbers.next().value);
        return found;
      };
      const [experts, weights] = [region(4 * topK), region(4 * topK)];
      const inputs = [filled(width), filled(padded * width), ...(bias ? [filled(padded)] : [])];
      interpretKernel(router(spec), [...inputs, region(routerScratchBytes(expertCount)), experts, weights, 1]);
      const list = [...experts.numbers];
      expect(list).toEqual([...new Set(list)].toSorted((a, b) => a - b));
      expect(list.every((expert) => expert >= 0 && expert < expertCount)).toBe(true);
    }),
  );
});
