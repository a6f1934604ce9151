/** What the cache gives back of a row: each format's rounding, head by head. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { kvFormats, kvRoundings } from "../../compiler/graph/kv-cache.ts";
import { quantizeActivations } from "../../compiler/numeric/quantize.ts";

const number = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e4, max: 1e4 });
const heads = fc.integer({ min: 1, max: 70 }).chain((headSize) =>
  fc.record({
    headSize: fc.constant(headSize),
    rows: fc.array(fc.array(number, { minLength: headSize, maxLength: headSize }), { minLength: 1, maxLength: 3 }),
  }),
);

test("q8_0 holds a head as activations are held: groups of 32, the last one maybe shorter", () => {
  fc.assert(
    fc.property(heads, ({ headSize, rows }) => {
      const row = Float32Array.from(rows.flat());
      const { columns, q, scales } = quantizeActivations(row, rows.length, headSize);
      const expected = row.map((_, i) => {
        const at = Math.floor(i / headSize) * columns + (i % headSize);
        return (scales[Math.floor(at / 32)] ?? NaN) * (q[at] ?? NaN);
      });
      expect(kvRoundings.q8_0(row, headSize)).toEqual(expected);
    }),
  );
});

test.each(kvFormats)("%s: no head depends on another, and the row itself stays as it is", (format) => {
  fc.assert(
    fc.property(heads, ({ headSize, rows }) => {
      const row = Float32Array.from(rows.flat());
      const together = kvRoundings[format](row, headSize);
      const alone = rows.flatMap((head) => [...kvRoundings[format](Float32Array.from(head), headSize)]);
      expect(together).toEqual(Float32Array.from(alone));
      expect(row).toEqual(Float32Array.from(rows.flat()));
    }),
  );
});

test("q8_0: a group too small to count is +0, whatever the group before it held", () => {
  const row = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? -i : -(2 ** -101)));
  expect([...kvRoundings.q8_0(row, 64).subarray(32)].every((value) => Object.is(value, 0))).toBe(true);
});

test("f16 rounds to nearest even, keeps subnormals and clamps", () => {
  const row = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -24, 1e6, -1e6);
  expect([...kvRoundings.f16(row, 5)]).toEqual([1, 1 + 2 ** -9, 2 ** -24, 65504, -65504]);
});
