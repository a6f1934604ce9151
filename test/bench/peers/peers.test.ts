/** What the comparison rests on, without its peers: models of the same size, prompts of known length, medians and ratios. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { compile } from "../../../compiler/index.ts";
import { parseConfig } from "../../../compiler/import/config.ts";
import { required } from "../../../compiler/errors.ts";
import { contenders } from "./contenders/index.ts";
import { tensorBytes, writeGguf, type Tensor } from "./gguf.ts";
import { checkSameSize } from "./models.ts";
import { weightBytes } from "./random-gguf.ts";
import { pairsOf, ratioOf, rowsOf, type Result } from "./results.ts";
import { makeVocabulary, promptText } from "./vocabulary.ts";

const shapes = fileURLToPath(new URL("../../golden/data/shapes/", import.meta.url));

test.each(["LFM2-350M", "LFM2-8B-A1B"])("the GGUF of %s and the artefact have nearly the same bytes of weights", async (name) => {
  const file = join(shapes, name, "config.json");
  const { config } = parseConfig(JSON.parse(await readFile(file, "utf8")), file);
  const { memory } = await compile({ model: file, target: "wasm-simd", randomWeights: 1, dryRun: true });
  const models = [weightBytes(config), memory.weights.bytes].map((bytes) => ({ path: name, weightBytes: bytes }));
  expect(() => {
    checkSameSize(models);
  }).not.toThrow();
  expect(() => {
    checkSameSize([...models, { path: "larger", weightBytes: 1.03 * weightBytes(config) }]);
  }).toThrow("more than 2 % apart");
});

test("a GGUF file is metadata, a table of tensors and their bytes at aligned offsets", async () => {
  const tensors: readonly Tensor[] = [
    { name: "a", shape: [3, 32], type: "q4_0", fill: (bytes, row) => bytes.fill(row + 1) },
    { name: "b", shape: [2], type: "f32", fill: (bytes) => bytes.fill(7) },
  ];
  expect(tensors.map(tensorBytes)).toEqual([54, 8]);
  const folder = await mkdtemp(join(tmpdir(), "lfmc-peers-"));
  try {
    await writeGguf(join(folder, "model.gguf"), { k: "v", n: [1, 2] }, tensors);
    const bytes = await readFile(join(folder, "model.gguf"));
    expect(bytes.subarray(0, 24).toString("hex")).toBe("4747554603000000" + "0200000000000000" + "0200000000000000");
    // 24 + ("k" 9 + type 4 + "v" 9) + ("n" 9 + type 4 + list 4 + 8 + 8) + ("a" 9 + 4 + 16 + 4 + 8) + ("b" 9 + 4 + 8 + 4 + 8) = 153, up to 160.
    expect(bytes.length).toBe(160 + 64 + 32);
    expect(bytes.readBigUInt64LE(153 - 8)).toBe(64n);
    expect([...bytes.subarray(158, 162)]).toEqual([0, 0, 1, 1]);
    expect([...bytes.subarray(160 + 54, 160 + 64)]).toEqual(new Array(10).fill(0));
    expect([...bytes.subarray(160 + 64)]).toEqual([...new Array<number>(8).fill(7), ...new Array<number>(24).fill(0)]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the vocabulary has distinct tokens, and words of two letters are two of them", () => {
  const { tokens, types, merges } = makeVocabulary(65536);
  expect(new Set(tokens).size).toBe(65536);
  expect([types.length, merges.length]).toEqual([65536, 65536 - 320]);
  const known = new Set(tokens);
  expect(merges.flatMap((merge) => [...merge.split(" "), merge.replace(" ", "")]).every((part) => known.has(part))).toBe(true);
  for (const count of [2, 16, 511, 512]) {
    const letters = promptText(count).replaceAll(" ", "").length;
    // BOS, then a space with a first letter is one token, and a second letter another.
    expect(1 + letters).toBe(count);
  }
});

test("medians are over repetitions, ratios over a peer in the same place", () => {
  const named = (name: string) =>
    required(
      contenders.find((contender) => contender.name === name),
      name,
    );
  const result = (name: string, depth: number, decode: readonly number[]): Result => ({
    contender: named(name),
    work: { threads: 1, prompt: 8, decode: 8, depth, samples: decode.length },
    busyCores: 0,
    figures: { firstTokenSeconds: null, prefill: depth === 0 ? 100 : null, decode: [...decode], peakBytes: depth + 5 },
  });
  const rows = rowsOf([
    ...[result("lfmc-relaxed", 0, [10]), result("llama-bench", 0, [4]), result("wllama", 0, [1])],
    ...[result("lfmc-relaxed", 0, [90]), result("llama-bench", 0, [5])],
    ...[result("lfmc-relaxed", 0, [20]), result("llama-bench", 0, [6])],
    ...[result("lfmc-relaxed", 64, [7, 8, 30])],
  ]);
  const [ours] = rows;
  expect(ours).toMatchObject({ prefill: 100, decode: 20, deepDecode: 8, firstTokenSeconds: null, peakBytes: 5, repetitions: 3 });
  const pairs = pairsOf(rows);
  expect(pairs.map(({ peer }) => peer.contender.name)).toEqual(["llama-bench"]);
  expect(pairs.map((pair) => [ratioOf(pair, "decode"), ratioOf(pair, "deepDecode")])).toEqual([[4, null]]);
});
