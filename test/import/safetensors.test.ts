import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { parseHeader } from "../../compiler/import/safetensors-header.ts";
import { openCheckpoint, openSafetensors } from "../../compiler/import/safetensors.ts";
import { bf16ToF32, f16ToF32 } from "../../compiler/numeric/half.ts";
import { bytesOf, goldenRoot, safetensors, temporaryFolder, written, type JsonObject } from "./support.ts";

/** Two tensors, 8 and 12 bytes. */
const twoTensors = {
  a: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
  b: { dtype: "BF16", shape: [3, 2], data_offsets: [8, 20] },
};
const data = new Uint8Array(20).map((_, i) => i);

async function opened(path: string) {
  const reader = await openSafetensors(path);
  onTestFinished(() => reader.close());
  return reader;
}

async function failure(promise: Promise<unknown>): Promise<LfmcError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof LfmcError) return error;
  throw new Error(`expected an LfmcError, got ${String(error)}`);
}

describe("reading", () => {
  test("every bf16 pattern, and every finite one exactly", async () => {
    const patterns = Array.from({ length: 65536 }, (_, i) => i).filter((bits) => (bits & 0x7f80) !== 0x7f80);
    const header = { x: { dtype: "BF16", shape: [patterns.length / 64, 64], data_offsets: [0, patterns.length * 2] } };
    const reader = await opened(await written(safetensors(header, bytesOf(patterns))));
    expect(await reader.readRows("x", 0, patterns.length / 64)).toEqual(Float32Array.from(patterns, bf16ToF32));
  });

  test("every finite f16 exactly", async () => {
    const patterns = Array.from({ length: 65536 }, (_, i) => i).filter((bits) => (bits & 0x7c00) !== 0x7c00);
    const header = { x: { dtype: "F16", shape: [patterns.length], data_offsets: [0, patterns.length * 2] } };
    const reader = await opened(await written(safetensors(header, bytesOf(patterns))));
    expect(await reader.readRows("x", 0, 1)).toEqual(Float32Array.from(patterns, f16ToF32));
  });

  test("rows longer than one piece", async () => {
    const length = 3 * 2 ** 20 + 5;
    const values = new Uint16Array(length).map((_, i) => 0x3f80 + (i % 97));
    const header = { x: { dtype: "BF16", shape: [1, length], data_offsets: [0, length * 2] } };
    const reader = await opened(await written(safetensors(header, bytesOf(values))));
    const read = await reader.readRows("x", 0, 1);
    expect(read.every((x, i) => x === bf16ToF32(0x3f80 + (i % 97)))).toBe(true);
  });

  test("any range of rows equals that part of a whole read", async () => {
    const reader = await opened(join(goldenRoot, "dense-odd", "model.safetensors"));
    const tensors = [...reader.tensors.values()];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...tensors), fc.nat(), fc.nat(), async ({ name, shape }, a, b) => {
        const length = shape.at(-1) ?? 1;
        const rows = shape.reduce((x, y) => x * y, 1) / length;
        const start = a % rows;
        const count = b % (rows - start + 1);
        const whole = await reader.readRows(name, 0, rows);
        expect(await reader.readRows(name, start, count)).toEqual(whole.slice(start * length, (start + count) * length));
      }),
    );
  });

  test("tensors of other types are kept aside", async () => {
    const header = {
      ...twoTensors,
      ids: { dtype: "I64", shape: [1], data_offsets: [20, 28] },
      odd: { dtype: "F4", shape: [7], data_offsets: [28, 32] },
    };
    const reader = await opened(await written(safetensors(header, new Uint8Array(32))));
    expect([...reader.tensors.keys()]).toEqual(["a", "b"]);
    expect(reader.unreadable).toEqual(new Map(Object.entries({ ids: "I64", odd: "F4" })));
    await expect(reader.readRows("ids", 0, 1)).rejects.toMatchObject({ code: "weights/missing" });
  });

  test.each([
    ["F32", [0, 0, 0x7fc0, 0], [1, 2], "NaN", "row 0, column 1"],
    ["F32", [0, 0xff80, 0, 0], [2, 1], "-Infinity", "row 0, column 0"],
    ["BF16", [0, 0, 0, 0x7f80], [2, 2], "Infinity", "row 1, column 1"],
    ["F16", [0, 0, 0x7c01, 0], [2, 2], "NaN", "row 1, column 0"],
    ["F16", [0, 0xfc00, 0, 0], [2, 2], "-Infinity", "row 0, column 1"],
  ])("%s %j is not finite", async (dtype, halves, shape, value, place) => {
    // Halves of an f32 are little-endian: the upper one comes second.
    const stored = dtype === "F32" ? halves.toSpliced(2, 2, ...halves.slice(2).reverse()) : halves;
    const reader = await opened(await written(safetensors({ x: { dtype, shape, data_offsets: [0, 8] } }, bytesOf(stored))));
    const error = await failure(reader.readRows("x", 0, shape[0] ?? 1));
    expect(error.code).toBe("weights/value");
    expect(error.message).toContain(`x: is ${value} at ${place}`);
  });

  test("a row range that starts late reports the tensor's own row", async () => {
    const reader = await opened(
      await written(safetensors({ x: { dtype: "BF16", shape: [2, 2], data_offsets: [0, 8] } }, bytesOf([0, 0, 0, 0x7f80]))),
    );
    expect((await failure(reader.readRows("x", 1, 1))).message).toContain("row 1, column 1");
  });

  test("a file that shrinks after it was opened", async () => {
    const path = await written(safetensors(twoTensors, data));
    const reader = await opened(path);
    await truncate(path, 100);
    expect((await failure(reader.readRows("b", 0, 3))).code).toBe("io/unreadable");
  });

  test("rows that do not exist are a fault of the caller", async () => {
    const reader = await opened(await written(safetensors(twoTensors, data)));
    await expect(reader.readRows("b", 2, 2)).rejects.toThrow("rows 2+2 of b, which has 3");
    await expect(reader.readRows("b", -1, 1)).rejects.toThrow("rows -1+1");
  });
});

describe("damaged files", () => {
  const one = (entry: unknown): JsonObject => ({ a: entry });
  const a = twoTensors.a;
  test.each<[string, Uint8Array, string, string]>([
    ["empty", new Uint8Array(0), "safetensors/header", "shorter than the 8 bytes"],
    ["seven bytes", new Uint8Array(7), "safetensors/header", "shorter than the 8 bytes"],
    ["no header", safetensors("", data, 0n), "safetensors/header", "0 bytes"],
    ["header past the end", safetensors(twoTensors, data, 1000n), "safetensors/header", "1000 bytes"],
    ["header of 2^63 bytes", safetensors(twoTensors, data, 2n ** 63n), "safetensors/header", "9223372036854775808 bytes"],
    ["header not JSON", safetensors("{]", data), "safetensors/header", "not JSON"],
    ["header not UTF-8", safetensors(twoTensors, data).with(10, 0xff), "safetensors/header", "not UTF-8"],
    ["header a list", safetensors("[]", data), "safetensors/header", "JSON object"],
    ["header null", safetensors("null", data), "safetensors/header", "JSON object"],
    ["a name twice", safetensors(`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, data), "safetensors/header", '"a" twice'],
    ["an entry that is a number", safetensors(one(3), data), "safetensors/tensor", "is 3"],
    ["an entry that is null", safetensors(one(null), data), "safetensors/tensor", "is null"],
    ["no dtype", safetensors(one({ ...a, dtype: undefined }), data), "safetensors/tensor", "dtype"],
    ["no shape", safetensors(one({ ...a, shape: undefined }), data), "safetensors/tensor", "shape"],
    ["a negative axis", safetensors(one({ ...a, shape: [-2] }), data), "safetensors/tensor", "shape [-2]"],
    ["a fractional axis", safetensors(one({ ...a, shape: [0.5] }), data), "safetensors/tensor", "shape [0.5]"],
    ["too many axes", safetensors(one({ ...a, shape: new Array(17).fill(1) }), data), "safetensors/tensor", "shape"],
    ["no offsets", safetensors(one({ ...a, data_offsets: undefined }), data), "safetensors/tensor", "data_offsets"],
    ["three offsets", safetensors(one({ ...a, data_offsets: [0, 4, 8] }), data), "safetensors/tensor", "data_offsets"],
    ["offsets reversed", safetensors(one({ ...a, data_offsets: [8, 0] }), data), "safetensors/tensor", "data_offsets [8,0]"],
    ["shape and bytes differ", safetensors(one({ ...a, shape: [3] }), data.subarray(0, 8)), "safetensors/tensor", "12 bytes"],
    ["a product beyond 2^64", safetensors(one({ ...a, shape: [2 ** 40, 2 ** 40] }), data), "safetensors/tensor", "bytes, but"],
    [
      "a product of 2^64 for no bytes",
      safetensors(one({ dtype: "U8", shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] }), data),
      "safetensors/tensor",
      "bytes, but",
    ],
    [
      "overlap",
      safetensors({ a, b: { ...a, data_offsets: [4, 12] } }, data.subarray(0, 12)),
      "safetensors/tensor",
      "inside the tensor before",
    ],
    ["the same bytes twice", safetensors({ a, b: a }, data.subarray(0, 8)), "safetensors/tensor", "inside the tensor before"],
    ["a hole", safetensors({ a, b: { ...a, data_offsets: [12, 20] } }, data), "safetensors/tensor", "hole"],
    ["a hole at the start", safetensors(one({ ...a, data_offsets: [4, 12] }), data.subarray(0, 12)), "safetensors/tensor", "hole"],
    ["cut short", safetensors(twoTensors, data.subarray(0, 19)), "safetensors/tensor", "but the file has"],
    ["bytes after the last tensor", safetensors(one(a), data), "safetensors/header", "its tensors end"],
  ])("%s", async (_, file, code, fact) => {
    const error = await failure(openSafetensors(await written(file)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(fact);
    expect(error.hint).toBeTruthy();
  });

  test("trailing spaces, metadata, scalars and empty tensors are all right", async () => {
    const header = {
      __metadata__: { format: "pt" },
      scalar: { dtype: "F32", shape: [], data_offsets: [0, 4] },
      none: { dtype: "F32", shape: [0, 3], data_offsets: [4, 4] },
    };
    const reader = await opened(await written(safetensors(`${JSON.stringify(header)}   `, data.subarray(0, 4))));
    expect([...reader.tensors.keys()]).toEqual(["scalar", "none"]);
    expect(await reader.readRows("scalar", 0, 1)).toHaveLength(1);
    expect(await reader.readRows("none", 0, 0)).toHaveLength(0);
  });

  test("no damage to a header does anything but throw an LfmcError", () => {
    const valid = new TextEncoder().encode(JSON.stringify({ __metadata__: { format: "pt" }, ...twoTensors }));
    const structural = [...new TextEncoder().encode('{}[]",:0123456789-.eE\\ nu')];
    const edit = fc.tuple(
      fc.nat(valid.length - 1),
      fc.constantFrom("replace", "insert", "remove"),
      fc.oneof(fc.constantFrom(...structural), fc.nat(255)),
    );
    let refused = 0;
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = [...valid];
        for (const [at, kind, byte] of edits) bytes.splice(at, kind === "insert" ? 0 : 1, ...(kind === "remove" ? [] : [byte]));
        try {
          const entries = parseHeader(Uint8Array.from(bytes), 8 + bytes.length + data.length, "x");
          expect(entries.reduce((sum, { begin, end }) => sum + end - begin, 0)).toBe(data.length);
        } catch (error) {
          if (!(error instanceof LfmcError)) throw error;
          refused++;
        }
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("shards", () => {
  const shardOne = safetensors({ a: { dtype: "BF16", shape: [2, 2], data_offsets: [0, 8] } }, bytesOf([0x3f80, 0x4000, 0x4040, 0x4080]));
  const shardTwo = safetensors({ b: { dtype: "BF16", shape: [2], data_offsets: [0, 4] } }, bytesOf([0x3f80, 0xbf80]));
  const map = { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" };

  async function folderWith(index: JsonObject | string, files: Readonly<Record<string, Uint8Array>>): Promise<string> {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "model.safetensors.index.json"), typeof index === "string" ? index : JSON.stringify(index));
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
    return folder;
  }

  test("tensors are found in their files", async () => {
    const folder = await folderWith({ metadata: { total_size: 12 }, weight_map: map }, { [map.a]: shardOne, [map.b]: shardTwo });
    const reader = await openCheckpoint(folder);
    onTestFinished(() => reader?.close());
    expect([...(reader?.tensors.keys() ?? [])]).toEqual(["a", "b"]);
    expect(await reader?.readRows("a", 1, 1)).toEqual(Float32Array.of(3, 4));
    expect(await reader?.readRows("b", 0, 1)).toEqual(Float32Array.of(1, -1));
  });

  test("a folder without weights has none", async () => {
    expect(await openCheckpoint(await temporaryFolder())).toBeNull();
  });

  test.each<[string, JsonObject | string, Readonly<Record<string, Uint8Array>>, string]>([
    ["a missing shard", { weight_map: map }, { [map.a]: shardOne }, "is missing"],
    ["a tensor not in its shard", { weight_map: { ...map, b: map.a } }, { [map.a]: shardOne }, 'does not hold "b"'],
    ["a path upwards", { weight_map: { a: "../model.safetensors" } }, {}, "../model.safetensors"],
    ["an absolute path", { weight_map: { a: "/tmp/model.safetensors" } }, {}, "/tmp/model.safetensors"],
    ["a folder", { weight_map: { a: "sub\\model.safetensors" } }, {}, "sub"],
    ["two dots", { weight_map: { a: ".." } }, {}, ".."],
    ["another kind of file", { weight_map: { a: "pytorch_model.bin" } }, {}, "pytorch_model.bin"],
    ["a number for a file", { weight_map: { a: 1 } }, {}, '"a" in 1'],
    ["no map", { metadata: {} }, {}, "weight_map is absent"],
    ["a map that is a list", { weight_map: [] }, {}, "weight_map is []"],
    ["not JSON", "{", {}, "not JSON"],
    ["a name twice", `{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`, {}, '"a" twice'],
  ])("%s", async (_, index, files, fact) => {
    const error = await failure(openCheckpoint(await folderWith(index, files)));
    expect(error.code).toBe("safetensors/index");
    expect(error.message).toContain(fact);
  });

  test("a damaged shard is named", async () => {
    const folder = await folderWith({ weight_map: map }, { [map.a]: shardOne, [map.b]: shardTwo.subarray(0, 20) });
    const error = await failure(openCheckpoint(folder));
    expect(error.code).toBe("safetensors/header");
    expect(error.subject).toContain(map.b);
  });
});
