/** Halves in kernels: all finite ones become the f32 that they are. */
import { expect, test } from "vitest";
import { recordKernel } from "../../compiler/kernel/builder.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { vector } from "../../compiler/kernel/ir.ts";
import { halfToFloat } from "../../compiler/kernel/library/functions.ts";
import { chunkBytes, laneCount } from "../../compiler/kernel/library/lanes.ts";
import { f16ToF32 } from "../../compiler/numeric/half.ts";

const convert = recordKernel("convert", "halves as f32", (b) => {
  const halves = b.pointer("halves", "read", "halves [16 * chunks]");
  const out = b.pointer("out", "write", "the same [16 * chunks] f32");
  b.for("chunk", 0, b.scalar("chunks", "chunks of 16"), 1, (chunk) => {
    const half = b.widenS(b.load(vector("i16", laneCount), halves, b.mul(chunk, 2 * laneCount)));
    b.store(halfToFloat(b, half), out, b.mul(chunk, chunkBytes));
  });
});

test("every finite half is converted exactly, subnormals and the sign of zero included", () => {
  const halves = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => (bits & 0x7c00) !== 0x7c00);
  const out = new Uint8Array(4 * halves.length);
  interpretKernel(convert, [{ bytes: new Uint8Array(halves.buffer) }, { bytes: out }, halves.length / laneCount]);
  const expected = Float32Array.from(halves, f16ToF32);
  expect(Buffer.compare(out, new Uint8Array(expected.buffer))).toBe(0);
});
