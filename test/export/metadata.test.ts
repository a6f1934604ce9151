/** What a GGUF file says of a model and its tokenizer, and what it cannot say. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { metadataWarnings, modelMetadata, samplingMetadata } from "../../compiler/export/model-metadata.ts";
import { tokenizerMetadata, type TokenizerFiles } from "../../compiler/export/tokenizer-metadata.ts";
import { parseConfig, type ModelConfig } from "../../compiler/import/config.ts";
import { greedy } from "../../compiler/import/generation-config.ts";
import { readJson } from "../../compiler/import/json-file.ts";
import { caseFolder, type GoldenCase } from "../golden/read.ts";
import { demoFolder } from "../model/support.ts";

async function configOf(name: GoldenCase): Promise<ModelConfig> {
  const path = join(caseFolder(name), "config.json");
  return parseConfig(await readJson(path), path).config;
}

/** An error of this code that says this. */
const fault = (code: string, fact: string): unknown =>
  expect.toSatisfy((error: unknown) => error instanceof LfmcError && error.code === code && error.message.includes(fact));
const refusal = (fact: string): unknown => fault("config/unsupported", fact);

test("a mixture of experts", async () => {
  const config = await configOf("moe-tiny");
  expect(modelMetadata(config, "m")).toMatchObject({
    "general.architecture": "lfm2moe",
    "lfm2moe.block_count": config.layers.length,
    "lfm2moe.attention.head_count_kv": config.layers.map((kind) => (kind === "conv" ? 0 : config.kvHeads)),
    "lfm2moe.expert_gating_func": 2,
    "lfm2moe.leading_dense_block_count": config.moe?.denseLayers,
    "lfm2moe.rope.freq_base": { float: 1e6 },
  });
  expect(metadataWarnings(config, config.tokens)).toEqual([]);
});

test.each<[GoldenCase, string]>([
  ["dense-odd", "conv_bias is true"],
  ["dense-extra", "head_dim 20 is not hidden_size / num_attention_heads"],
])("%s is refused: %s", async (name, fact) => {
  const config = await configOf(name);
  expect(() => modelMetadata(config, name)).toThrow(refusal(`${name}: ${fact}`));
});

test("weights of experts that are not normalised are refused", async () => {
  const config = await configOf("moe-plain");
  expect(() => modelMetadata({ ...config, convBias: false }, "m")).toThrow(refusal("m: norm_topk_prob is false"));
});

test("what llama.cpp does not read is warned of", async () => {
  const [scaled, plain] = [await configOf("moe-bias"), await configOf("moe-cold")];
  expect(modelMetadata(scaled, "m")).toMatchObject({ "lfm2moe.expert_weights_scale": { float: 2.5 } });
  expect(metadataWarnings(scaled, scaled.tokens)).toEqual([expect.stringContaining("routed_scaling_factor 2.5")]);
  expect(metadataWarnings(plain, plain.tokens)).toEqual([expect.stringContaining("have no bias; it is written as zeros")]);
  expect(metadataWarnings(await configOf("dense-tiny"), { bos: 1, eos: [2, 3, 4, 5], pad: 0 })).toEqual([
    "of 4 end-of-sequence tokens a GGUF file names three: 2, 3, 4",
  ]);
});

test("sampling is said where there is any", () => {
  expect(samplingMetadata({ ...greedy, topK: 40 })).toEqual({});
  expect(samplingMetadata({ temperature: 0.5, topK: 40, topP: 0.9, minP: 0.1, repetitionPenalty: 1.1 })).toEqual({
    "general.sampling.temp": { float: 0.5 },
    "general.sampling.top_k": { int: 40 },
    "general.sampling.top_p": { float: 0.9 },
    "general.sampling.min_p": { float: 0.1 },
    "general.sampling.penalty_repeat": { float: 1.1 },
  });
});

type Json = Readonly<Record<string, unknown>>;

const demo = JSON.parse(await readFile(join(demoFolder, "tokenizer.json"), "utf8")) as Json & { readonly model: Json };
const tokens = { bos: 1, eos: [2, 7], pad: null };
const metadataOf = (json: unknown, more: Partial<TokenizerFiles> = {}, vocabSize = 4096) =>
  tokenizerMetadata({ path: "tokenizer.json", json, config: null, chatTemplate: null, ...more }, tokens, vocabSize);

test("the tokenizer: tokens, kinds, merges and special ids", () => {
  const { metadata, warnings } = metadataOf(demo, { chatTemplate: "{{ messages }}" });
  expect(warnings).toEqual([]);
  const { "tokenizer.ggml.tokens": texts, "tokenizer.ggml.token_type": types, "tokenizer.ggml.merges": merges, ...rest } = metadata;
  expect(texts).toHaveLength(4096);
  expect(texts).toEqual(expect.arrayContaining(["<|startoftext|>", "Ġt"]));
  expect(types).toEqual(Array.from({ length: 4096 }, (_, id) => (id < 8 ? 3 : 1)));
  expect(merges).toEqual(expect.arrayContaining(["Ġ t"]));
  expect(rest).toEqual({
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "lfm2",
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.eot_token_id": 7,
    "tokenizer.ggml.add_bos_token": true,
    "tokenizer.chat_template": "{{ messages }}",
  });
});

test("ids without a token, added tokens that are plain text, merges in one text", () => {
  const added = { id: 4096, content: "<think>", special: false, lstrip: true };
  const json = { ...demo, added_tokens: [added], model: { ...demo.model, merges: ["Ġ t"], ignore_merges: false } };
  const { metadata, warnings } = metadataOf(json, {}, 4098);
  expect(metadata["tokenizer.ggml.tokens"]).toSatisfy((texts: string[]) => texts[4096] === "<think>" && texts[4097] === "[PAD4097]");
  expect(metadata["tokenizer.ggml.token_type"]).toSatisfy((types: number[]) => types[4096] === 4 && types[4097] === 5);
  expect(metadata["tokenizer.ggml.merges"]).toEqual(["Ġ t"]);
  expect(warnings).toEqual([
    'tokenizer.json: a GGUF file cannot say that tokens take the spaces beside them: "<think>"',
    "tokenizer.json: llama.cpp takes a word that is a token as it is, without merges",
  ]);
});

test("BOS is put in front as tokenizer_config.json says, else as tokenizer.json does", () => {
  const addsBos = (json: unknown, config: unknown) => metadataOf(json, { config }).metadata["tokenizer.ggml.add_bos_token"];
  const bare = { ...demo, post_processor: null };
  expect([
    addsBos(demo, null),
    addsBos(bare, null),
    addsBos(bare, { add_bos_token: true }),
    addsBos(demo, { add_bos_token: false }),
  ]).toEqual([true, false, true, false]);
  const listed = { ...demo, post_processor: { type: "Sequence", processors: [{ type: "ByteLevel" }, demo.post_processor] } };
  expect(addsBos(listed, {})).toBe(true);
});

const splitBy = (pattern: string) => ({
  pretokenizers: [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated" },
    { type: "ByteLevel", add_prefix_space: false },
  ],
});

test.each<[string, Json]>([
  ["a normalizer", { normalizer: { type: "NFC" } }],
  ["another way to split texts", { pre_tokenizer: splitBy("\\s+") }],
  ["no plain byte level", { pre_tokenizer: { pretokenizers: [] } }],
  ['model "Unigram"', { model: { ...demo.model, type: "Unigram" } }],
])("a tokenizer with %s is refused", (fact, change) => {
  expect(() => metadataOf({ ...demo, ...change })).toThrow(refusal(fact));
});

test.each<[string, Json, number]>([
  ['gives "zz" the id 4096, outside', { model: { ...demo.model, vocab: { zz: 4096 } } }, 4096],
  ['merges holds "abc"', { model: { ...demo.model, merges: ["abc"] } }, 4096],
  ['merges holds ["a","b","c"]', { model: { ...demo.model, merges: [["a", "b", "c"]] } }, 4096],
  ['added_tokens holds {"id":1.5', { added_tokens: [{ id: 1.5, content: "x" }] }, 4096],
])("a tokenizer that %s is invalid", (fact, change, vocabSize) => {
  expect(() => metadataOf({ ...demo, ...change }, {}, vocabSize)).toThrow(fault("config/invalid", fact));
});

test("a model without a tokenizer has token ids alone", () => {
  expect(tokenizerMetadata(null, tokens, 64)).toEqual({
    metadata: {
      "tokenizer.ggml.model": "none",
      "tokenizer.ggml.bos_token_id": 1,
      "tokenizer.ggml.eos_token_id": 2,
      "tokenizer.ggml.eot_token_id": 7,
    },
    warnings: ["the model has no tokenizer: llama.cpp will take token ids alone"],
  });
});
