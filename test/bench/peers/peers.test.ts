/** What the comparison rests on, without its peers: models of the same size, prompts of known length, medians and ratios. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { compile } from "../../../compiler/index.ts";
import { parseConfig } from "../../../compiler/import/config.ts";
import { required } from "../../../compiler/errors.ts";
import { contenders } from "./contenders/index.ts";
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
