/**
 * Checkpoints that lie, in the ways in which files of this kind have crashed or robbed other readers (test/README.md): each is refused by a
 * whole compile, with the tensor or the file named, and nothing is written.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { importModel } from "../../compiler/import/model.ts";
import { safetensors } from "../import/support.ts";
import { damaged, edits, outcome, refusedCompile, valid, workFolder, writeFiles, type Files, type Tensor } from "./support.ts";

const folder = await workFolder();
const { config, header, data } = valid;
const configText = JSON.stringify(config);
const names = Object.keys(header);
const first = "model.embed_tokens.weight";
const norm = "model.embedding_norm.weight";

const file = (change: Readonly<Record<string, unknown>> = {}, bytes = data, length?: bigint): Uint8Array =>
  safetensors({ ...header, ...change }, bytes, length);
const entry = (name: string): Tensor => header[name] ?? { dtype: null, shape: null, data_offsets: null };
const changed = (change: Partial<Tensor>, name = norm): Uint8Array => file({ [name]: { ...entry(name), ...change } });
const whole = file();
const headerBytes = Number(new DataView(whole.buffer).getBigUint64(0, true));
/** The data with one f32 changed, by its place in a tensor. */
const withValue = (name: string, element: number, value: number): Uint8Array => {
  const copy = data.slice();
  const [begin = 0] = entry(name).data_offsets as readonly number[];
  new DataView(copy.buffer).setFloat32(begin + element * 4, value, true);
  return file({}, copy);
};
const without = (name: string): Uint8Array => safetensors(Object.fromEntries(Object.entries(header).filter(([key]) => key !== name)), data);

async function refuse(files: Files) {
  const model = await writeFiles(join(folder, "model"), { "config.json": configText, ...files });
  return await refusedCompile(join(folder, "out"), { model });
}

describe("model.safetensors", () => {
  test.each<readonly [string, Uint8Array, string, string]>([
    ["an empty file", new Uint8Array(0), "safetensors/header", "8 bytes"],
    ["a prefix alone", whole.subarray(0, 8), "safetensors/header", "the file has 8"],
    ["24 bytes that ask for gigabytes", file({}, data, 2n ** 40n).subarray(0, 24), "safetensors/header", "1099511627776 bytes"],
    ["a header length of 2^64 - 1", file({}, data, 2n ** 64n - 1n), "safetensors/header", "18446744073709551615 bytes"],
    ["a header length that wraps to a valid one", file({}, data, 2n ** 32n + BigInt(headerBytes)), "safetensors/header", "bytes"],
    ["a header length of 0", file({}, data, 0n), "safetensors/header", "0 bytes"],
    ["a header length one too small", file({}, data, BigInt(headerBytes - 1)), "safetensors/header", "not JSON"],
    ["a header length one too large", file({}, data, BigInt(headerBytes + 1)), "safetensors/header", "its header"],
    ["a header that is a list", safetensors("[]", data), "safetensors/header", "JSON object"],
    ["a header nested too deeply", safetensors("[".repeat(100_000), data), "safetensors/header", "JSON"],
    ["a tensor nested too deeply", safetensors(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, data), "safetensors/tensor", '"a"'],
    [
      "a tensor twice",
      safetensors(`{"${norm}":${JSON.stringify(entry(norm))},${JSON.stringify(header).slice(1)}`, data),
      "safetensors/header",
      "twice",
    ],
    ["cut in the prefix", whole.subarray(0, 5), "safetensors/header", "8 bytes"],
    ["cut in the header", whole.subarray(0, 100), "safetensors/header", "the file has 100"],
    ["cut in the data", whole.subarray(0, whole.length - 1), "safetensors/tensor", "but the file has"],
    ["cut after the header", whole.subarray(0, 8 + headerBytes), "safetensors/tensor", "but the file has"],
    ["a byte too long", Buffer.concat([whole, Buffer.alloc(1)]), "safetensors/header", "its tensors end"],
    ["a negative axis", changed({ shape: [-64] }), "safetensors/tensor", "shape [-64]"],
    ["two negative axes whose product fits", changed({ shape: [-8, -8] }), "safetensors/tensor", "shape [-8,-8]"],
    ["a fractional axis", changed({ shape: [64.5] }), "safetensors/tensor", "shape [64.5]"],
    ["an axis of 2^53", changed({ shape: [2 ** 53] }), "safetensors/tensor", "shape"],
    ["a shape as text", changed({ shape: "64" }), "safetensors/tensor", "shape"],
    ["a shape whose product wraps to 0", changed({ shape: [2 ** 32, 2 ** 32, 64] }), "safetensors/tensor", "bytes, but"],
    ["a shape whose product wraps to itself", changed({ shape: [2 ** 32, 2 ** 30, 1] }), "safetensors/tensor", "bytes, but"],
    ["seventeen axes", changed({ shape: new Array(17).fill(1) }), "safetensors/tensor", "shape"],
    ["a shape that the config does not give", changed({ shape: [8, 8] }), "weights/shape", "[64]"],
    ["a dtype that is half as long", changed({ dtype: "F16" }), "safetensors/tensor", "128 bytes"],
    ["integers for weights", changed({ dtype: "I32" }), "safetensors/tensor", "I32"],
    ["a dtype of no name", changed({ dtype: "__proto__" }), "safetensors/tensor", "__proto__"],
    ["a dtype that is a number", changed({ dtype: 1 }), "safetensors/tensor", "dtype 1"],
    ["a dtype of 3000 characters", changed({ dtype: "F".repeat(3000) }), "safetensors/tensor", 'dtype "FFFF'],
    [
      "a key of 3000 characters twice",
      safetensors(`{"${"k".repeat(3000)}":1,"${"k".repeat(3000)}":1}`, data),
      "safetensors/header",
      "twice",
    ],
    ["offsets beyond the file", changed({ data_offsets: [0, 2 ** 52] }), "safetensors/tensor", "bytes"],
    ["negative offsets", changed({ data_offsets: [-256, 0] }), "safetensors/tensor", "data_offsets"],
    ["offsets the wrong way round", changed({ data_offsets: [256, 0] }), "safetensors/tensor", "data_offsets"],
    ["fractional offsets", changed({ data_offsets: [0.5, 256.5] }), "safetensors/tensor", "data_offsets"],
    ["an overlap", changed({ data_offsets: [0, 256] }), "safetensors/tensor", "inside the tensor before"],
    ["a hole", without(norm), "safetensors/tensor", "hole"],
    ["a tensor that is missing", file({ [norm]: undefined, "model.other": entry(norm) }), "weights/missing", norm],
    ["NaN", withValue(first, 100, NaN), "weights/value", "NaN"],
    ["infinity in the last element", withValue(norm, 63, Infinity), "weights/value", "Infinity"],
    ["minus infinity", withValue("model.layers.0.conv.conv.weight", 0, -Infinity), "weights/value", "-Infinity"],
  ])("%s", async (_, bytes, code, fact) => {
    const error = await refuse({ "model.safetensors": bytes });
    expect(error.code).toBe(code);
    expect(error.message).toContain(fact);
  });

  test("a folder in its place, with nothing beside it", async () => {
    expect((await refuse({ "model.safetensors/x": "" })).code).toBe("weights/missing");
  });
});

describe("a sharded checkpoint", () => {
  const shard = "model-00001-of-00001.safetensors";
  const map = Object.fromEntries(names.map((name) => [name, shard]));
  const index = (change: Readonly<Record<string, unknown>>): string => JSON.stringify({ weight_map: { ...map, ...change } });

  test("is compiled when nothing is wrong with it", async () => {
    const model = await writeFiles(join(folder, "model"), {
      "config.json": configText,
      "model.safetensors.index.json": index({}),
      [shard]: whole,
    });
    const output = join(folder, "sharded");
    await compile({ model, target: "wasm-simd", features: ["simd128"], output });
    expect(await readdir(output)).toContain("manifest.json");
  });

  test.each<readonly [string, string, string]>([
    ["a shard above the folder", index({ [norm]: "../model.safetensors" }), "../model.safetensors"],
    ["a shard at an absolute path", index({ [norm]: "/etc/passwd" }), "/etc/passwd"],
    ["a shard below the folder", index({ [norm]: "sub/model.safetensors" }), "sub/model.safetensors"],
    ["a shard by backslashes", index({ [norm]: "..\\model.safetensors" }), "model.safetensors"],
    ["a shard with a zero byte", index({ [norm]: "model.safetensors\0.safetensors" }), "model.safetensors"],
    ["a shard at a URL", index({ [norm]: "https://example.org/model.safetensors" }), "https"],
    ["a shard that is not there", index({ [norm]: "model-00002-of-00001.safetensors" }), "is missing"],
    ["a shard that is a number", index({ [norm]: 7 }), "7"],
    ["a shard that is null", index({ [norm]: null }), "null"],
    ["a tensor that its shard does not hold", index({ "model.extra.weight": shard }), "model.extra.weight"],
    [
      "a tensor of no shard",
      JSON.stringify({ weight_map: Object.fromEntries(Object.entries(map).filter(([name]) => name !== norm)) }),
      norm,
    ],
    ["a shard's name of 3000 characters", index({ [norm]: `${"a".repeat(3000)}.safetensors` }), "expected the name"],
    ["a map on the prototype", `{"__proto__":{"weight_map":${JSON.stringify(map)}}}`, "weight_map is absent"],
    ["a map that is a list", JSON.stringify({ weight_map: names }), "weight_map"],
    ["no JSON", "weights", "not JSON"],
  ])("%s", async (_, text, fact) => {
    const error = await refuse({ "model.safetensors.index.json": text, [shard]: whole });
    expect(error.code).toMatch(/^(safetensors\/index|weights\/missing)$/);
    expect(error.message).toContain(fact);
  });
});

test("any damage to a header is refused properly or does no harm", async () => {
  const model = await writeFiles(join(folder, "fuzzed"), { "config.json": configText });
  const bytes = whole.subarray(0, 8 + headerBytes);
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(edits(bytes.length), async (changes) => {
      await writeFile(join(model, "model.safetensors"), Buffer.concat([damaged(bytes, changes), data]));
      const error = await outcome(async () => {
        await (await importModel(model)).store.close();
      });
      if (error) refusals++;
    }),
    { numRuns: 200 },
  );
  expect(refusals).toBeGreaterThan(100);
});

describe("names reach no file of an artefact but as data", () => {
  const nasty = [
    "\u001b[2J",
    "\u202e",
    "\u2028",
    "a\nb",
    '";throw 1;//',
    "*/alert(1)/*",
    "${process.exit(1)}",
    "`id`",
    "../../x",
    "<script>",
    "__proto__",
    "'",
    "\\",
  ];

  test("tensors that nothing uses", async () => {
    const scalars = nasty.map((name, i): [string, Tensor] => {
      const begin = data.length + 4 * i;
      return [name, { dtype: "F32", shape: [1], data_offsets: [begin, begin + 4] }];
    });
    const model = await writeFiles(join(folder, "named"), {
      "config.json": configText,
      "model.safetensors": file(Object.fromEntries(scalars), Buffer.concat([data, Buffer.alloc(4 * nasty.length)])),
    });
    const output = join(folder, "named-out");
    const { warnings } = await compile({ model, target: "wasm-simd", features: ["simd128"], output });
    expect(warnings.join("")).toContain("is not part of the model");
    expect(warnings.join("")).not.toMatch(/[\p{Cc}\u2028\u202e]/u);
    const texts = await textsBelow(output);
    expect(texts).toContain(norm);
    for (const name of nasty.filter(({ length }) => length > 2)) expect(texts).not.toContain(name);
  });

  test("a chat template, in the script that carries it", async () => {
    const template = `${nasty.join("\n")}</script>{{ 7 * 7 }}\ud800`;
    const model = await writeFiles(join(folder, "templated"), { "config.json": configText, "chat_template.jinja": template });
    const output = join(folder, "templated-out");
    await compile({ model, target: "wasm-simd", features: ["simd128"], output, randomWeights: 1, context: 32 });
    const module: unknown = await import(pathToFileURL(join(output, "chat_template.js")).href);
    expect(module).toMatchObject({ default: await readFile(join(model, "chat_template.jinja"), "utf8") });
  });

  test("any folder's name becomes a package name of plain characters", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.constantFrom(...nasty), fc.string({ unit: "binary", minLength: 1, maxLength: 30 })), async (name) => {
        const plain = name.replaceAll(/[/\0]/g, "_").replace(/^\.{1,2}$/, "_");
        if (plain === "" || Buffer.byteLength(plain) > 200) return;
        const model = join(folder, "names", plain);
        await mkdir(model, { recursive: true });
        await writeFile(join(model, "config.json"), configText);
        const imported = await importModel(model, { randomWeights: 1 });
        await imported.store.close();
        expect(imported.name).toMatch(/^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/);
        expect(imported.graph.name).toBe(imported.name);
      }),
      { numRuns: 100 },
    );
  });

  test.each([...nasty, "", "a/b", "..", ".hidden", "x".repeat(101)])("--name %j is refused", async (name) => {
    const model = await writeFiles(join(folder, "model"), { "config.json": configText });
    expect((await refusedCompile(join(folder, "out"), { model, name, randomWeights: 1 })).code).toBe("usage/flag");
  });
});

/** All text files of a folder in one. */
async function textsBelow(path: string): Promise<string> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const own = entries.filter(
    (entry) => entry.isFile() && /\.(json|js|ts|md)$/.test(entry.name) && !/runtime|types/.test(join(entry.parentPath, entry.name)),
  );
  return (await Promise.all(own.map((entry) => readFile(join(entry.parentPath, entry.name), "utf8")))).join("\n");
}
