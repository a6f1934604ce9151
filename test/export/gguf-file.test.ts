/** The bytes of a GGUF file. */
import { expect, test } from "vitest";
import { tensorBytes, writeGguf, type GgufTensor, type Metadata } from "../../compiler/export/gguf-file.ts";
import { typeOf } from "../../compiler/export/blocks.ts";

async function written(metadata: Metadata, tensors: readonly GgufTensor[]): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const writeFile = (piece: unknown): Promise<void> => {
    if (piece instanceof Uint8Array) pieces.push(piece);
    return Promise.resolve();
  };
  await writeGguf({ writeFile }, metadata, tensors);
  return Buffer.concat(pieces);
}

test("a file is metadata, a table of tensors and their bytes at aligned offsets", async () => {
  const tensors: readonly GgufTensor[] = [
    { name: "a", shape: [3, 32], type: typeOf("q4_0"), pieces: () => [1, 2, 3].map((row) => new Uint8Array(18).fill(row)) },
    { name: "b", shape: [2], type: typeOf("f32"), pieces: () => [new Uint8Array(8).fill(7)] },
  ];
  expect(tensors.map(tensorBytes)).toEqual([54, 8]);
  const bytes = await written({ k: "v", n: [1, 2] }, tensors);
  expect(bytes.subarray(0, 24).toString("hex")).toBe("4747554603000000" + "0200000000000000" + "0200000000000000");
  // 24 + ("k" 9 + type 4 + "v" 9) + ("n" 9 + type 4 + list 20) + ("a" 9 + 4 + 16 + 4 + 8) + ("b" 9 + 4 + 8 + 4 + 8) = 153, up to 160.
  expect(bytes.length).toBe(160 + 64 + 32);
  expect(bytes.readBigUInt64LE(153 - 8)).toBe(64n);
  expect([...bytes.subarray(158, 162)]).toEqual([0, 0, 1, 1]);
  expect([...bytes.subarray(160 + 54, 160 + 64)]).toEqual(new Array(10).fill(0));
  expect([...bytes.subarray(160 + 64)]).toEqual([...new Array<number>(8).fill(7), ...new Array<number>(24).fill(0)]);
});

test.each<[Metadata[string], string]>([
  [7, "04000000" + "07000000"],
  [{ int: -1 }, "05000000" + "ffffffff"],
  [{ float: 1 }, "06000000" + "0000803f"],
  [true, "07000000" + "01"],
  ["é", "08000000" + "0200000000000000" + "c3a9"],
  [["a"], "09000000" + "08000000" + "0100000000000000" + "0100000000000000" + "61"],
])("metadata %o", async (value, hex) => {
  expect((await written({ k: value }, [])).toString("hex", 24 + 9, 24 + 9 + hex.length / 2)).toBe(hex);
});

test("a tensor of another size than its shape says is lfmc's own fault", async () => {
  const tensor: GgufTensor = { name: "a", shape: [2], type: typeOf("f32"), pieces: () => [new Uint8Array(4)] };
  await expect(written({}, [tensor])).rejects.toThrow("4 bytes of a, which has 8");
});
