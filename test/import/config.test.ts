import { describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { parseConfig } from "../../compiler/import/config.ts";
import { greedy, parseGenerationConfig } from "../../compiler/import/generation-config.ts";
import { goldenCases, goldenJson, type JsonObject } from "./support.ts";

const dense = await goldenJson("dense-tiny", "config.json");
const legacy = await goldenJson("dense-tiny", "config.legacy.json");
const moe = await goldenJson("moe-tiny", "config.json");

function without(json: JsonObject, ...keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([key]) => !keys.includes(key)));
}

function parse(json: unknown) {
  return parseConfig(json, "config.json");
}

function failure(json: unknown): LfmcError {
  try {
    parse(json);
  } catch (error) {
    if (error instanceof LfmcError) return error;
    throw error;
  }
  throw new Error("parsed without an error");
}

describe("dialects", () => {
  test.each(goldenCases)("%s means the same in both spellings, and neither warns", async (name) => {
    const current = parse(await goldenJson(name, "config.json"));
    const older = parse(await goldenJson(name, "config.legacy.json"));
    expect(older).toEqual(current);
    expect(current.warnings).toEqual([]);
  });

  test("every field of a dense config", () => {
    expect(parse(dense).config).toEqual({
      type: "lfm2",
      dtype: "F32",
      vocabSize: 256,
      hiddenSize: 64,
      layers: ["conv", "attention", "conv", "attention"],
      heads: 4,
      kvHeads: 2,
      headSize: 16,
      convWidth: 3,
      convBias: false,
      feedForwardSize: 192,
      normEpsilon: 1e-5,
      ropeBase: 1e6,
      tied: true,
      maxPositions: 128000,
      tokens: { bos: 1, eos: [7], pad: 0 },
      moe: null,
    });
  });

  test("every field of an expert config", async () => {
    expect(parse(await goldenJson("moe-bias", "config.json")).config).toMatchObject({
      type: "lfm2_moe",
      dtype: "BF16",
      feedForwardSize: 120,
      moe: { expertCount: 32, expertsPerToken: 4, expertSize: 40, denseLayers: 1, normalizeTopK: true, routedScale: 2.5, expertBias: true },
    });
    const plain = parse(await goldenJson("moe-plain", "config.json")).config;
    expect(plain.moe).toMatchObject({ normalizeTopK: false, routedScale: 0.5, expertBias: false });
  });

  test.each([
    ["layer_types wins over full_attn_idxs", { ...dense, full_attn_idxs: [0] }, { layers: parse(dense).config.layers }],
    ["neither: all attention", without(legacy, "full_attn_idxs"), { layers: ["attention", "attention", "attention", "attention"] }],
    ["rope_parameters wins over rope_theta", { ...dense, rope_theta: 5 }, { ropeBase: 1e6 }],
    ["rope_theta fills rope_parameters", { ...dense, rope_parameters: { rope_type: "default" }, rope_theta: 5 }, { ropeBase: 5 }],
    ["theta is ignored", { ...without(legacy, "rope_theta"), theta: 5 }, { ropeBase: 1e6 }],
    ["rope_theta alone", { ...legacy, rope_theta: 1e4 }, { ropeBase: 1e4 }],
    ["tie_embedding wins", { ...dense, tie_embedding: false, tie_word_embeddings: true }, { tied: false }],
    ["tie_word_embeddings alone", { ...dense, tie_word_embeddings: false }, { tied: false }],
    ["tied by default", without(dense, "tie_word_embeddings"), { tied: true }],
    ["head_dim", { ...dense, head_dim: 20 }, { headSize: 20 }],
    ["head_dim null", { ...dense, head_dim: null }, { headSize: 16 }],
    ["norm_eps default, block_norm_eps ignored", { ...without(dense, "norm_eps"), block_norm_eps: 0.5 }, { normEpsilon: 1e-5 }],
    ["torch_dtype with its module", { ...without(dense, "dtype"), torch_dtype: "torch.float16" }, { dtype: "F16" }],
    ["no dtype", without(dense, "dtype"), { dtype: null }],
    ["several eos", { ...dense, eos_token_id: [7, 9] }, { tokens: { bos: 1, eos: [7, 9], pad: 0 } }],
    ["no tokens", without(dense, "eos_token_id", "bos_token_id", "pad_token_id"), { tokens: { bos: null, eos: [], pad: null } }],
  ])("%s", (_, json, expected) => {
    expect(parse(json).config).toMatchObject(expected);
  });

  test.each([
    [{ intermediate_size: 6656, block_multiple_of: 256 }, 4608],
    [{ intermediate_size: 10240, block_multiple_of: 256 }, 6912],
    [{ intermediate_size: 12288, block_multiple_of: 256 }, 8192],
    [{ intermediate_size: 6656, block_multiple_of: 256, block_ffn_dim_multiplier: 1.5 }, 6656],
    [{ intermediate_size: 6656, block_multiple_of: 100 }, 4500],
    [{ intermediate_size: 1000, block_multiple_of: 64, block_ffn_dim_multiplier: 0.7 }, 512],
    [{ intermediate_size: 100, block_multiple_of: 1 }, 66],
    [{ intermediate_size: 100, block_multiple_of: 1, block_ffn_dim_multiplier: 0.75 }, 49],
    [{ intermediate_size: 10752, block_auto_adjust_ff_dim: false }, 10752],
    [{ intermediate_size: 999, block_ff_dim: 6656, block_multiple_of: 256 }, 4608],
    [{ intermediate_size: 2560, block_auto_adjust_ff_dim: false, block_ffn_dim_multiplier: null }, 2560],
  ])("feed-forward width of %j is %i", (keys, width) => {
    expect(parse({ ...dense, ...keys }).config.feedForwardSize).toBe(width);
  });

  test("an expert model's dense layers are never adjusted", () => {
    expect(parse({ ...moe, block_ff_dim: 999, block_auto_adjust_ff_dim: true }).config.feedForwardSize).toBe(128);
  });

  test("unknown keys and contradictions are warnings, harmless keys are not", () => {
    const json = { ...dense, surprise: 1, full_attn_idxs: [0], use_pos_enc: true, rope_parameters: { rope_theta: 1e6, twist: 2 } };
    const { warnings } = parse(json);
    expect(warnings).toHaveLength(3);
    expect(warnings.join("\n")).toMatch(/"surprise"[^]*"rope_parameters.twist"[^]*full_attn_idxs/);
  });
});

describe("refusals", () => {
  test.each<[string, unknown, string]>([
    ["a list", [], "JSON object"],
    ["text", "lfm2", "JSON object"],
    ["null", null, "JSON object"],
    ["no type", without(dense, "model_type"), "model_type"],
    ["no vocabulary", without(dense, "vocab_size"), "vocab_size"],
    ["negative vocabulary", { ...dense, vocab_size: -1 }, "vocab_size"],
    ["fractional hidden size", { ...dense, hidden_size: 64.5 }, "hidden_size"],
    ["hidden size as text", { ...dense, hidden_size: "64" }, "hidden_size"],
    ["huge hidden size", { ...dense, hidden_size: 1e9 }, "hidden_size"],
    ["no layers", { ...dense, num_hidden_layers: 0 }, "num_hidden_layers"],
    ["layer counts differ", { ...dense, num_hidden_layers: 5 }, "layer_types lists 4"],
    ["a layer index outside", { ...legacy, full_attn_idxs: [1, 4] }, "full_attn_idxs"],
    ["a fractional layer index", { ...legacy, full_attn_idxs: [0.5] }, "full_attn_idxs"],
    ["heads not shared evenly", { ...dense, num_key_value_heads: 3 }, "num_key_value_heads"],
    ["hidden size not divisible", { ...dense, num_attention_heads: 6 }, "hidden_size"],
    ["odd head", { ...dense, head_dim: 5 }, "head_dim"],
    ["no feed-forward size", without(dense, "intermediate_size"), "intermediate_size"],
    ["null multiplier", { ...dense, block_ffn_dim_multiplier: null }, "block_ffn_dim_multiplier"],
    ["zero epsilon", { ...dense, norm_eps: 0 }, "norm_eps"],
    ["zero rope base", { ...dense, rope_parameters: { rope_theta: 0 } }, "rope_parameters.rope_theta"],
    ["one tap", { ...dense, conv_L_cache: 1 }, "conv_L_cache"],
    ["no taps", without(dense, "conv_L_cache"), "conv_L_cache"],
    ["bias as a number", { ...dense, conv_bias: 1 }, "conv_bias"],
    ["eos outside the vocabulary", { ...dense, eos_token_id: [7, 256] }, "eos_token_id 256"],
    ["negative bos", { ...dense, bos_token_id: -1 }, "bos_token_id"],
    ["too many experts a token", { ...moe, num_experts_per_tok: 9 }, "num_experts_per_tok"],
    ["more dense layers than layers", { ...moe, num_dense_layers: 6 }, "num_dense_layers"],
    ["no expert count", without(moe, "num_experts"), "num_experts"],
    ["experts with full_attn_idxs only", { ...without(moe, "layer_types"), full_attn_idxs: [2] }, "layer_types"],
    ["infinite scale", { ...moe, routed_scaling_factor: Infinity }, "routed_scaling_factor"],
  ])("invalid: %s", (_, json, named) => {
    const error = failure(json);
    expect(error.code).toBe("config/invalid");
    expect(error.message).toContain(named);
    expect(error.hint).toBeTruthy();
  });

  test.each<[string, JsonObject, string]>([
    ["another model", { ...dense, model_type: "lfm3" }, "lfm3"],
    ["a vision model", { model_type: "lfm2_vl", text_config: dense }, "lfm2_vl"],
    ["a nested text model", { ...dense, text_config: {} }, "text_config"],
    ["a bidirectional encoder", { ...dense, architectures: ["Lfm2BidirectionalModel"] }, "Lfm2BidirectionalModel"],
    ["a ColBERT model", { ...dense, architectures: ["Lfm2Model"] }, "Lfm2Model"],
    ["a dense class for experts", { ...moe, architectures: ["Lfm2ForCausalLM"] }, "Lfm2ForCausalLM"],
    ["short_conv layers", { ...dense, layer_types: ["short_conv", "full_attention", "conv", "conv"] }, "short_conv"],
    ["windowed layers", { ...dense, layer_types: ["conv", "sliding_attention", "conv", "conv"] }, "sliding_attention"],
    ["a window", { ...dense, sliding_window: 512 }, "sliding_window"],
    ["yarn", { ...dense, rope_parameters: { rope_type: "yarn", factor: 4 } }, "yarn"],
    ["older linear scaling", { ...legacy, rope_scaling: { type: "linear", factor: 2 } }, "linear"],
    ["part of a head rotated", { ...dense, rope_parameters: { partial_rotary_factor: 0.5 } }, "partial_rotary_factor"],
    ["8-bit weights", { ...dense, quantization_config: { bits: 8 } }, "quantization_config"],
    ["f64", { ...dense, dtype: "float64" }, "float64"],
    ["gelu", { ...dense, hidden_act: "gelu" }, "gelu"],
  ])("unsupported: %s", (_, json, named) => {
    const error = failure(json);
    expect(error.code).toBe("config/unsupported");
    expect(error.message).toContain(named);
    expect(error.hint).toBeTruthy();
  });

  test("null leaves a refused key alone", () => {
    expect(parse({ ...dense, sliding_window: null, rope_scaling: null }).warnings).toEqual([]);
  });
});

describe("generation_config.json", () => {
  const base = { bos: 1, eos: [7], pad: 0 };
  const read = (json: unknown) => parseGenerationConfig(json, base, 256, "generation_config.json");

  test("without do_sample it is greedy and keeps the config's tokens", () => {
    expect(read({ transformers_version: "5.23.0" })).toEqual({ sampling: greedy, tokens: base, warnings: [] });
    expect(read({ do_sample: false, temperature: 0.7 }).sampling.temperature).toBe(0);
    expect(read({ temperature: 0.7 }).warnings).toHaveLength(1);
  });

  test("sampling values and tokens override", () => {
    const json = { do_sample: true, temperature: 0.3, top_k: 50, top_p: 0.9, min_p: 0.15, repetition_penalty: 1.05, eos_token_id: [7, 2] };
    const { sampling, tokens, warnings } = read(json);
    expect(sampling).toEqual({ temperature: 0.3, topK: 50, topP: 0.9, minP: 0.15, repetitionPenalty: 1.05 });
    expect(tokens).toEqual({ bos: 1, eos: [7, 2], pad: 0 });
    expect(warnings).toEqual([]);
    expect(read({ do_sample: true }).sampling.temperature).toBe(1);
  });

  test.each([
    [{ temperature: -1 }, "temperature"],
    [{ top_p: 1.5 }, "top_p"],
    [{ top_k: 1.5 }, "top_k"],
    [{ do_sample: "yes" }, "do_sample"],
    [{ eos_token_id: 256 }, "eos_token_id"],
    [[], "JSON object"],
  ])("%j is refused", (json, named) => {
    expect(() => read(json)).toThrow(named);
    expect(() => read(json)).toThrow(LfmcError);
  });

  test("unknown keys warn", () => {
    expect(read({ no_repeat_ngram_size: 3 }).warnings.join()).toContain("no_repeat_ngram_size");
  });
});
