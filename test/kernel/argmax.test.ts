/** The module's choice is the sampler's: whatever the logits, the kernel chooses what the runtime's argmax would. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { argmax as argmaxKernel } from "../../compiler/kernel/library/argmax.ts";
import { LfmcError } from "../../runtime/errors.ts";
import { argmax } from "../../runtime/sampler.ts";

/** Few values, so that many are equal, and any. */
const value = fc.oneof(fc.constantFrom(0, -0, 1, -1, NaN, Infinity, -Infinity, 2 ** -149), fc.float());

/** -1 where the runtime refuses. */
function expected(logits: Float32Array): number {
  try {
    return argmax(logits);
  } catch (error) {
    if (error instanceof LfmcError) return -1;
    throw error;
  }
}

test("rows of any length, padding that would win, nothing to choose from", () => {
  const rowsOf = (width: number) => fc.array(fc.array(value, { minLength: width, maxLength: width }), { maxLength: 3 });
  const shape = fc.integer({ min: 1, max: 70 }).chain((width) => fc.tuple(fc.constant(width), rowsOf(width), fc.nat(20)));
  fc.assert(
    fc.property(shape, ([width, rows, padding]) => {
      const stride = width + padding;
      const x = new Float32Array(rows.length * stride).fill(Infinity);
      rows.forEach((row, i) => {
        x.set(row, i * stride);
      });
      const out = new Int32Array(rows.length);
      interpretKernel(argmaxKernel({ width, stride }), [
        { bytes: new Uint8Array(x.buffer) },
        { bytes: new Uint8Array(out.buffer) },
        rows.length,
      ]);
      expect([...out]).toEqual(rows.map((row) => expected(Float32Array.from(row))));
    }),
  );
});
