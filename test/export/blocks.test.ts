/** Groups as ggml's blocks, and floats, in bytes; what importing makes of them is in round-trip.test.ts. */
import { expect, test } from "vitest";
import { blocksOf, floatBytes } from "../../compiler/export/blocks.ts";
import { groupFormats, quantizeRows, type GroupFormatName, type Groups } from "../../compiler/numeric/weight-groups.ts";

/** One row of 32 weights u = 0, 1, 2, … of as many as the format has, in a block padded to 64. */
function counting(format: GroupFormatName, scale: number, minimum: number | null): Groups {
  const { bits, offset } = groupFormats[format];
  const u = Uint8Array.from({ length: 64 }, (_, i) => (i < 32 ? i % 2 ** bits : offset));
  return { rows: 1, columns: 64, u, scales: Float32Array.of(scale, 0), minimums: minimum === null ? null : Float32Array.of(minimum, 0) };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test.each<[GroupFormatName, number | null, string]>([
  // Byte j holds the numbers j and j + 16.
  ["q4_0", null, "003c" + "00112233445566778899aabbccddeeff"],
  ["q4_1", -2, "003c00c0" + "00112233445566778899aabbccddeeff"],
  // u - 4 of three bits is (u + 4) - 8 of four.
  ["q3_0", null, "003c" + "445566778899aabb445566778899aabb"],
  ["q8_0", null, "003c" + "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"],
])("%s", (format, minimum, bytes) => {
  expect(hex(blocksOf(format, counting(format, 1, minimum), 32, "t"))).toBe(bytes);
});

test("scales are f16, with their sign, subnormal ones too; beyond its range there is none", () => {
  const scaleOf = (scale: number): string => hex(blocksOf("q4_0", counting("q4_0", scale, null), 32, "model.x.weight")).slice(0, 4);
  expect([-2, 2 ** -24, -(2 ** -15), 65504, 0].map(scaleOf)).toEqual(["00c0", "0100", "0082", "ff7b", "0000"]);
  expect(() => scaleOf(65520)).toThrow(expect.objectContaining({ code: "weights/value", subject: "model.x.weight" }));
  expect(() => scaleOf(-Infinity)).toThrow("model.x.weight: has a scale of -Infinity");
  const large = counting("q4_1", 1, 1e6);
  expect(() => blocksOf("q4_1", large, 32, "t")).toThrow("has a scale of 1000000");
});

test("rows follow one another without the padding of groups", () => {
  const rows = quantizeRows(
    groupFormats.q8_0,
    Float32Array.from({ length: 3 * 32 }, (_, i) => i),
    3,
    32,
  );
  expect(blocksOf("q8_0", rows, 32, "t").length).toBe(3 * 34);
});

test("floats", () => {
  const values = Float32Array.of(1, -0.1, 2 ** -24);
  expect(hex(floatBytes("f32", values))).toBe("0000803f" + "cdccccbd" + "00008033");
  expect(hex(floatBytes("f16", values))).toBe("003c" + "66ae" + "0100");
  expect(hex(floatBytes("bf16", values))).toBe("803f" + "cdbd" + "8033");
});
