/** The `config.json` of a candidate: its own sizes, and of the base what the search does not vary. */
import { LfmcError } from "../errors.ts";
import { parseConfig } from "../import/config.ts";
import type { BaseConfig, Candidate } from "./types.ts";

/** The constants that LFM2's first releases share. */
export const defaultBase: BaseConfig = {
  vocab_size: 65536,
  max_position_embeddings: 128000,
  norm_eps: 1e-5,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 7,
  pad_token_id: 0,
};

/** The base in a parsed `config.json`, named `file` in errors. Throws what parseConfig throws. */
export function baseOf(json: unknown, file: string): BaseConfig {
  const { config } = parseConfig(json, file);
  return {
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    norm_eps: config.normEpsilon,
    rope_theta: config.ropeBase,
    tie_word_embeddings: config.tied,
    bos_token_id: config.tokens.bos,
    eos_token_id: config.tokens.eos,
    pad_token_id: config.tokens.pad,
  };
}

/** The base with another vocabulary. Throws usage/flag where its special tokens do not fit. */
export function withVocabulary(base: BaseConfig, size: number): BaseConfig {
  const eos = typeof base.eos_token_id === "number" ? [base.eos_token_id] : (base.eos_token_id ?? []);
  const largest = Math.max(0, base.bos_token_id ?? 0, base.pad_token_id ?? 0, ...eos);
  if (size > largest) return { ...base, vocab_size: size };
  throw new LfmcError("usage/flag", `${size} tokens leave out the special token ${largest}`, {
    subject: "--vocab",
    hint: `give at least ${largest + 1}`,
  });
}

/** The base with room for so many positions. */
export function withContext(base: BaseConfig, context: number): BaseConfig {
  return { ...base, max_position_embeddings: Math.max(base.max_position_embeddings, context) };
}

/** The config in the form that transformers reads. */
export function configOf(candidate: Candidate, base: BaseConfig): Readonly<Record<string, unknown>> {
  const { layers, width, heads, kvHeads, convWidth, ffnWidth, experts } = candidate;
  return {
    architectures: [experts ? "Lfm2MoeForCausalLM" : "Lfm2ForCausalLM"],
    model_type: experts ? "lfm2_moe" : "lfm2",
    hidden_size: width,
    num_hidden_layers: layers.length,
    layer_types: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    conv_L_cache: convWidth,
    conv_bias: false,
    intermediate_size: ffnWidth,
    ...(experts
      ? {
          num_experts: experts.count,
          num_experts_per_tok: experts.perToken,
          moe_intermediate_size: experts.width,
          num_dense_layers: experts.denseLayers,
          norm_topk_prob: true,
          routed_scaling_factor: 1,
          use_expert_bias: true,
        }
      : { block_auto_adjust_ff_dim: false }),
    ...base,
  };
}
