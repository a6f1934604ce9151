/**
 * GGUF files that lie, in the ways in which files of this kind have crashed or robbed other readers (test/README.md): each is refused by a whole
 * compile, with the file or the tensor named, at once, and nothing is written.
 */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compile } from "../../compiler/index.ts";
import { importModel } from "../../compiler/import/model.ts";
import { caseFolder } from "../golden/read.ts";
import {
  bool,
  f32,
  ggufFile,
  i32s,
  modelMetadata,
  oneLayerModel,
  scalar,
  text,
  texts,
  u32,
  type GgufParts,
  type Lies,
  type TensorPart,
  type Value,
} from "../import/gguf-support.ts";
import { damaged, edits, outcome, refusedCompile, workFolder, writeFiles } from "./support.ts";

const folder = await workFolder();
const whole = oneLayerModel("Q4_0", new Uint8Array(18));
const honest = ggufFile(whole);

async function refuse(file: Uint8Array, name = "model.gguf") {
  const model = join(await writeFiles(join(folder, "model"), { [name]: file }), name);
  const start = performance.now();
  const error = await refusedCompile(join(folder, "out"), { model });
  expect(performance.now() - start).toBeLessThan(3000);
  return error;
}

type Row = readonly [name: string, file: Uint8Array, code: string, fact: string];

const file = (change: Partial<GgufParts>, lies?: Lies): Uint8Array => ggufFile({ ...whole, ...change }, lies);
/** The file with one key given another value, or a new key. */
const withKey = (key: string, value: Value | Uint8Array, more: readonly (readonly [string, Value])[] = []): Uint8Array =>
  file({ metadata: [...whole.metadata.filter(([name]) => name !== key), ...more, [key, value]] });
const withoutKey = (key: string): Uint8Array => file({ metadata: whole.metadata.filter(([name]) => name !== key) });
const withTensor = (name: string, change: Partial<TensorPart>): Uint8Array =>
  file({ tensors: whole.tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor)) });
/** The file with these bytes from the first place on where `mark` ends. */
const patched = (mark: string, bytes: Uint8Array): Uint8Array => {
  const copy = honest.slice();
  copy.set(bytes, Buffer.from(honest).indexOf(mark) + mark.length);
  return copy;
};
const array = (itemType: number, count: bigint, ...items: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat([scalar("u32", 9), scalar("u32", itemType), scalar("u64", count), ...items]);
const gate = "blk.0.ffn_gate.weight";
const norm = "token_embd_norm.weight";
const last = whole.tensors.at(-1);

test("the file that the others are made of compiles", async () => {
  const model = join(await writeFiles(join(folder, "honest"), { "model.gguf": honest }), "model.gguf");
  const { artefact } = await compile({ model, target: "wasm-simd", features: ["simd128"], output: join(folder, "honest-artefact") });
  expect(artefact?.manifest.name).toBe("model");
});

describe("counts and lengths", () => {
  test.each<Row>([
    ["an empty file", new Uint8Array(0), "gguf/header", "ends within its first word"],
    ["another file", Buffer.from("PK\u0003\u0004 and so on, long enough"), "gguf/header", "does not begin with GGUF"],
    ["magic alone", honest.subarray(0, 4), "gguf/header", "ends within its version"],
    ["24 bytes that have 2^60 tensors", file({}, { tensorCount: 2n ** 60n }).subarray(0, 24), "gguf/header", "1152921504606846976 tensors"],
    [
      "24 bytes that have 2^64 - 1 keys",
      file({}, { tensorCount: 0n, keyCount: 2n ** 64n - 1n }).subarray(0, 24),
      "gguf/header",
      "18446744073709551615 keys",
    ],
    ["tensors that wrap to a valid count", file({}, { tensorCount: 2n ** 32n + 13n }), "gguf/header", "4294967309 tensors"],
    ["more tensors than there are", file({}, { tensorCount: 14n }), "gguf/header", 'gives tensor "" 0 axes'],
    ["more keys than there are", file({}, { keyCount: 10n }), "gguf/header", "bytes of a tensor's name"],
    [
      "a key of 2^63 bytes",
      Buffer.concat([honest.subarray(0, 24), scalar("u64", 2n ** 63n), honest.subarray(32)]),
      "gguf/header",
      "9223372036854775808 bytes of a key",
    ],
    [
      "a string of 2^63 bytes",
      withKey("x", Buffer.concat([scalar("u32", 8), scalar("u64", 2n ** 63n)])),
      "gguf/header",
      "bytes of the text",
    ],
    ["a string of 500,000 bytes", withKey("x", text("x".repeat(500_000))), "gguf/header", "at most 400000 are read"],
    ["an array of 2^61 strings", withKey("x", array(8, 2n ** 61n)), "gguf/header", "2305843009213693952 items"],
    ["an array of 2^62 u32", withKey("x", array(4, 2n ** 62n)), "gguf/header", "4611686018427387904 items"],
    ["an array of 600,000 u8", withKey("x", array(0, 600_000n, new Uint8Array(600_000))), "gguf/header", "at most 500000 are read"],
    ["an array in an array", withKey("x", array(9, 1n, scalar("u32", 4), scalar("u64", 0n))), "gguf/header", "array of arrays"],
    ["a value of type 13", withKey("x", Buffer.concat([scalar("u32", 13), new Uint8Array(8)])), "gguf/header", "has type 13"],
    ["items of type -1", withKey("x", array(2 ** 32 - 1, 1n, new Uint8Array(8))), "gguf/header", "has type 4294967295"],
    ["a bool of 2", withKey("x", Buffer.concat([scalar("u32", 7), Buffer.of(2)])), "gguf/header", "neither true nor false"],
    [
      "a string that is not UTF-8",
      withKey("x", Buffer.concat([scalar("u32", 8), scalar("u64", 1n), Buffer.of(0xff)])),
      "gguf/header",
      "UTF-8",
    ],
    ["the header cut short", honest.subarray(0, 400), "gguf/header", "13 tensors, but only 384 bytes follow"],
    ["the header cut short in a tensor", honest.subarray(0, 800), "gguf/header", "19 bytes of a tensor's name, but only 6 bytes follow"],
    ["version 1", file({}, { version: 1 }), "gguf/header", "has version 1"],
    ["version 4", file({}, { version: 4 }), "gguf/header", "has version 4"],
    ["a big-endian file", file({}, { version: 0x03000000 }), "gguf/header", "is big-endian"],
    [
      "a key twice",
      withKey(
        "x",
        u32(1),
        [["x", u32(2)]].map(([, value]) => ["x", value as Value] as const),
      ),
      "gguf/header",
      '"x"',
    ],
    ["the key __proto__", withKey("__proto__", texts(["x"])), "gguf/header", "__proto__"],
    ["the key version", withKey("version", u32(1)), "gguf/header", '"version"'],
  ])("%s", async (_, bytes, code, fact) => {
    const error = await refuse(bytes);
    expect(error.code).toBe(code);
    expect(error.message).toContain(fact);
    expect(error.subject).toContain("model.gguf");
  });
});

describe("tensors", () => {
  const twice = [...whole.tensors, ...(last ? [last] : [])];
  test.each<Row>([
    ["no axes", withTensor(norm, { dims: [] }), "gguf/header", "0 axes"],
    ["five axes", withTensor(norm, { dims: [256, 1, 1, 1, 1] }), "gguf/header", "5 axes"],
    ["2^31 axes", patched(norm, scalar("u32", 2 ** 31)), "gguf/header", "2147483648 axes"],
    ["an axis of 0", withTensor(norm, { dims: [0] }), "gguf/tensor", "size 0"],
    ["an axis of 2^64 - 1", withTensor(norm, { dims: [2n ** 64n - 1n] }), "gguf/header", "18446744073709551615"],
    [
      "a product that wraps to the right size",
      withTensor(norm, { dims: [2n ** 31n, 2n ** 31n, 4, 1] }),
      "gguf/tensor",
      "would end at byte",
    ],
    ["quantised bytes that wrap", withTensor(gate, { dims: [2n ** 32n, 2n ** 30n] }), "gguf/tensor", "would end at byte"],
    ["rows of no whole blocks", withTensor(gate, { dims: [255, 256] }), "gguf/tensor", "rows of 255 values; Q4_0 has blocks of 32"],
    ["larger than the file", withTensor(last?.name.toString() ?? "", { dims: [256, 2 ** 20] }), "gguf/tensor", "would end at byte"],
    ["a type that nobody has", withTensor(gate, { type: 2 ** 32 - 1 }), "gguf/tensor", "ggml's type 4294967295"],
    ["a type that lfmc does not read", withTensor(gate, { type: 19 }), "gguf/tensor", "ggml's type 19; lfmc reads F32"],
    ["an offset of 2^64 - 32", withTensor(norm, { offset: 2n ** 64n - 32n }), "gguf/tensor", "would end at byte"],
    ["an offset between alignments", withTensor(norm, { offset: 16 }), "gguf/tensor", "inside the tensor before it"],
    ["the place of another", withTensor(norm, { offset: 0 }), "gguf/tensor", "inside the tensor before it"],
    ["a hole", file({ tensors: whole.tensors.slice(1) }), "gguf/tensor", "leaving a hole"],
    ["more bytes after the last", Buffer.concat([honest, new Uint8Array(64)]), "gguf/header", "64 bytes after its last tensor"],
    ["one twice", file({ tensors: twice }), "gguf/header", "twice"],
    ["cut short", honest.subarray(0, honest.length - 1000), "gguf/tensor", "would end at byte"],
    ["the bytes of another shape", withTensor(norm, { dims: [128, 2] }), "weights/shape", "the metadata gives [256]"],
    ["transposed", withTensor("token_embd.weight", { dims: [16, 256] }), "weights/shape", "token"],
    ["one that is missing", withTensor(gate, { name: "blk.1.ffn_gate.weight" }), "weights/missing", "w1"],
    ["more slices than any model has experts", withTensor(norm, { dims: [1, 1, 256] }), "weights/shape", "norm"],
  ])("%s", async (_, bytes, code, fact) => {
    const error = await refuse(bytes);
    expect(error.code).toBe(code);
    expect(error.message).toContain(fact);
  });

  test.each([
    ["NaN", 0x7e00],
    ["-Infinity", 0xfc00],
  ])("a scale of %s is refused with its row and column", async (value, bits) => {
    const row = (256 / 32) * 18;
    const blocks = new Uint8Array(row * 2);
    new DataView(blocks.buffer).setUint16(row + 3 * 18, bits, true);
    const error = await refuse(ggufFile(oneLayerModel("Q4_0", blocks)));
    expect(error).toMatchObject({ code: "weights/value", subject: "model.layers.0.feed_forward.w1.weight" });
    expect(error.message).toContain(`is ${value} at row 1, column 96`);
  });
});

const vocabulary = (change: Readonly<Record<string, Value>> = {}): Uint8Array => {
  const tokens = Array.from({ length: 16 }, (_, id) => String.fromCharCode(97 + id)).with(15, "ab");
  const entries: Readonly<Record<string, Value>> = {
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("lfm2"),
    "tokenizer.ggml.tokens": texts(tokens),
    "tokenizer.ggml.token_type": i32s(new Array<number>(16).fill(1)),
    "tokenizer.ggml.merges": texts(["a b"]),
    ...change,
  };
  return file({ metadata: [...whole.metadata, ...Object.entries(entries)] });
};
const tokens = Array.from({ length: 16 }, (_, id) => String.fromCharCode(97 + id));

describe("metadata", () => {
  test.each<Row>([
    ["alignment 2^31", withKey("general.alignment", u32(2 ** 31)), "gguf/metadata", "general.alignment"],
    ["alignment 0", withKey("general.alignment", u32(0)), "gguf/header", "alignment"],
    ["alignment 24", withKey("general.alignment", u32(24)), "gguf/metadata", "general.alignment"],
    ["alignment 4", withKey("general.alignment", u32(4)), "gguf/metadata", "general.alignment"],
    ["alignment as an i32", withKey("general.alignment", { type: "i32", value: 32 }), "gguf/metadata", "expected a u32"],
    ["alignment as a string", withKey("general.alignment", text("32")), "gguf/metadata", "general.alignment"],
    ["no architecture", withoutKey("general.architecture"), "gguf/metadata", "general.architecture is missing"],
    ["another architecture", withKey("general.architecture", text("llama")), "config/unsupported", 'general.architecture is "llama"'],
    ["no block count", withoutKey("lfm2.block_count"), "gguf/metadata", "lfm2.block_count is missing"],
    ["no base of the positions", withoutKey("lfm2.rope.freq_base"), "gguf/metadata", "lfm2.rope.freq_base is missing"],
    ["2^31 blocks", withKey("lfm2.block_count", u32(2 ** 31)), "gguf/metadata", "lfm2.block_count is 2147483648"],
    ["a block count that is a string", withKey("lfm2.block_count", text("1")), "gguf/metadata", "expected a whole number"],
    ["a block count that is a float", withKey("lfm2.block_count", f32(1)), "gguf/metadata", "expected a whole number"],
    ["heads of two layers", withKey("lfm2.attention.head_count_kv", i32s([2, 2])), "gguf/metadata", "has 2 items"],
    [
      "heads in floats",
      withKey("lfm2.attention.head_count_kv", { type: "array", items: "f32", value: [2] }),
      "gguf/metadata",
      "whole numbers",
    ],
    ["negative heads", withKey("lfm2.attention.head_count_kv", i32s([-2])), "config/invalid", "num_key_value_heads is -2"],
    ["an epsilon that is no number", withKey("lfm2.attention.layer_norm_rms_epsilon", f32(NaN)), "gguf/metadata", "finite float"],
    ["a hidden size of 2^31", withKey("lfm2.embedding_length", u32(2 ** 31)), "config/invalid", "hidden_size is 2147483648"],
    ["windowed attention", withKey("lfm2.attention.sliding_window", u32(512)), "config/unsupported", "sliding_window"],
    ["attention both ways", withKey("lfm2.attention.causal", bool(false)), "config/unsupported", "attention.causal"],
    ["pooling", withKey("lfm2.pooling_type", u32(2)), "config/unsupported", "pooling_type"],
    ["stretched positions", withKey("lfm2.rope.scaling.type", text("yarn")), "config/unsupported", "yarn"],
    ["another context than its own", withoutKey("lfm2.context_length"), "gguf/metadata", "lfm2.context_length is missing"],
    ["one of three files", withKey("split.count", u32(3)), "gguf/metadata", "split.count is 3; by the names of the files it is 1"],
    ["tokens that are too few", vocabulary({ "tokenizer.ggml.tokens": texts(tokens.slice(1)) }), "gguf/metadata", "tokens has 15 items"],
    ["tokens that are numbers", vocabulary({ "tokenizer.ggml.tokens": i32s([1]) }), "gguf/metadata", "an array of strings"],
    [
      "a token twice",
      vocabulary({ "tokenizer.ggml.tokens": texts(tokens.with(3, "a")) }),
      "gguf/metadata",
      '[3] is "a", and so is that of 0',
    ],
    ["an empty token", vocabulary({ "tokenizer.ggml.tokens": texts(tokens.with(3, "")) }), "gguf/metadata", "[3] is empty"],
    ["types that are too few", vocabulary({ "tokenizer.ggml.token_type": i32s([1]) }), "gguf/metadata", "token_type has 1 items"],
    [
      "a token that is a byte as text",
      vocabulary({
        "tokenizer.ggml.tokens": texts(tokens.with(3, "<0x-1>")),
        "tokenizer.ggml.token_type": i32s(new Array<number>(16).fill(1).with(3, 6)),
      }),
      "gguf/metadata",
      "token_type[3] is 6",
    ],
    [
      "scores in bytes",
      vocabulary({ "tokenizer.ggml.scores": { type: "array", items: "i8", value: new Array<number>(16).fill(0) } }),
      "gguf/metadata",
      "tokenizer.ggml.scores is an array of 16; expected an array of floats",
    ],
    [
      "scores that are too few",
      vocabulary({ "tokenizer.ggml.scores": { type: "array", items: "f32", value: [0] } }),
      "gguf/metadata",
      "scores has 1",
    ],
    ["a merge of unknown tokens", vocabulary({ "tokenizer.ggml.merges": texts(["a z"]) }), "gguf/metadata", 'merges[0] is "a z"'],
    ["a merge of three", vocabulary({ "tokenizer.ggml.merges": texts(["a b c"]) }), "gguf/metadata", 'merges[0] is "a b c"'],
    ["an end that is no token", vocabulary({ "tokenizer.ggml.eos_token_id": u32(16) }), "config/invalid", "eos_token_id 16 is outside"],
    ["a template that is a number", vocabulary({ "tokenizer.chat_template": u32(1) }), "gguf/metadata", "tokenizer.chat_template is"],
  ])("%s", async (_, bytes, code, fact) => {
    const error = await refuse(bytes);
    expect(error.code).toBe(code);
    expect(error.message).toContain(fact);
  });
});

test("a folder and a pipe are no files, and nobody waits for them", async () => {
  const place = await writeFiles(join(folder, "places"), {});
  await mkdir(join(place, "folder.gguf"));
  execFileSync("mkfifo", [join(place, "pipe.gguf")]);
  for (const name of ["folder.gguf", "pipe.gguf"]) {
    const error = await refusedCompile(join(folder, "out"), { model: join(place, name) });
    expect(error).toMatchObject({ code: "io/unreadable", message: expect.stringContaining("is not a file") as string });
  }
});

test("a mixture whose router has the softmax", async () => {
  const golden = await readFile(join(caseFolder("moe-tiny"), "model.Q4_0.gguf"));
  const key = "lfm2moe.expert_gating_func";
  golden.writeUInt32LE(1, golden.indexOf(key) + key.length + 4);
  const error = await refuse(golden);
  expect(error.code).toBe("config/unsupported");
  expect(error.message).toContain("lfm2moe.expert_gating_func is 1");
});

test("names of files and tensors reach no path and no code", async () => {
  const name = "a*/}; ..\u2028$(x).gguf";
  const tensors = [...whole.tensors, { name: "x\n*/ ../../y", dims: [32], type: 2, offset: whole.data.length }];
  const data = Buffer.concat([whole.data, new Uint8Array(32)]);
  const model = join(await writeFiles(join(folder, "named"), { "other.gguf": "" }), name.replaceAll("/", ""));
  await writeFile(
    model,
    ggufFile({ ...whole, tensors, data, metadata: [...modelMetadata, ["general.name", text('"; process.exit(1) //')]] }),
  );
  const { artefact, warnings } = await compile({ model, target: "c", output: join(folder, "named-artefact") });
  expect(artefact?.manifest.name).toMatch(/^[A-Za-z0-9_.-]+$/);
  expect(warnings.join()).toContain("is not part of the model");
  expect(warnings.join()).not.toMatch(/[\n\u2028]/);
  expect(await readFile(join(artefact?.folder ?? "", `${artefact?.manifest.name}.h`), "utf8")).not.toContain("process.exit");
});

test("a file with random damage to its header is opened, or refused in the one proper way", async () => {
  const golden = new Uint8Array(await readFile(join(caseFolder("dense-tiny"), "model.Q4_0.gguf")));
  const headerEnd = Buffer.from(golden).indexOf("blk.3.shortconv") + 1000;
  const model = join(folder, "fuzz.gguf");
  await fc.assert(
    fc.asyncProperty(edits(Math.max(headerEnd, 5000)), async (changes) => {
      await writeFile(model, damaged(golden, changes));
      await outcome(async () => {
        const { store } = await importModel(model);
        await store.close();
      });
    }),
    { numRuns: 100 },
  );
});
