/**
 * The keys of `config.json` that lfmc reads, with the type and range of each, and those it knows and leaves alone. Every key may be
 * absent or null here; `config.ts` decides which are needed and which spelling wins.
 */
import * as v from "valibot";

/** A whole number that may be absent or null; the message completes "KEY is VALUE; expected …". */
export function whole(min: number, max: number) {
  const message = `a whole number from ${min} to ${max}`;
  return v.nullish(
    v.pipe(
      v.number(message),
      v.check((x) => Number.isSafeInteger(x) && x >= min && x <= max, message),
    ),
  );
}

/** A finite number that may be absent or null. */
export function real(min: number, max: number) {
  const message = `a number from ${min} to ${max}`;
  return v.nullish(v.pipe(v.number(message), v.minValue(min, message), v.maxValue(max, message)));
}

/** Lists are short, so that a file cannot make lfmc search through millions. */
const listLength = 1024;

function list<Item extends v.GenericSchema>(item: Item, what: string) {
  const message = `a list of at most ${listLength} ${what}`;
  return v.nullish(v.pipe(v.array(item, message), v.maxLength(listLength, message)));
}

const flag = v.nullish(v.boolean("true or false"));
const text = v.nullish(v.string("a string"));
const tokenId = v.pipe(
  v.number("a token id"),
  v.check((x) => Number.isSafeInteger(x) && x >= 0, "a token id (a whole number from 0)"),
);

/** Ids of the special tokens: in `config.json` and again, with precedence, in `generation_config.json`. */
export const tokenEntries = {
  bos_token_id: v.nullish(tokenId),
  eos_token_id: v.nullish(v.union([tokenId, v.pipe(v.array(tokenId), v.maxLength(listLength))], "a token id or a short list of them")),
  pad_token_id: v.nullish(tokenId),
};

const ropeSchema = v.object(
  {
    rope_theta: real(1, 1e12),
    rope_type: text,
    type: text,
    partial_rotary_factor: v.nullish(v.number("a number")),
  },
  "an object with rope_theta and rope_type",
);

export const configSchema = v.object({
  ...tokenEntries,
  model_type: v.string("a string"),
  architectures: list(v.string("a name"), "names"),
  dtype: text,
  torch_dtype: text,
  vocab_size: whole(1, 2 ** 22),
  hidden_size: whole(1, 65536),
  num_hidden_layers: whole(1, 1024),
  layer_types: list(v.string("a layer type"), "layer types"),
  full_attn_idxs: list(v.number("a layer index"), "layer indices"),
  num_attention_heads: whole(1, 4096),
  num_key_value_heads: whole(1, 4096),
  head_dim: whole(2, 4096),
  conv_L_cache: whole(2, 64),
  conv_bias: flag,
  intermediate_size: whole(1, 2 ** 20),
  block_ff_dim: whole(1, 2 ** 20),
  block_auto_adjust_ff_dim: flag,
  block_ffn_dim_multiplier: real(1e-3, 1e3),
  block_multiple_of: whole(1, 65536),
  norm_eps: real(1e-30, 1),
  rope_theta: real(1, 1e12),
  rope_parameters: v.nullish(ropeSchema),
  rope_scaling: v.nullish(ropeSchema),
  tie_word_embeddings: flag,
  tie_embedding: flag,
  max_position_embeddings: whole(1, 2 ** 30),
  hidden_act: text,
  num_experts: whole(1, 4096),
  num_experts_per_tok: whole(1, 4096),
  moe_intermediate_size: whole(1, 2 ** 20),
  num_dense_layers: whole(0, 1024),
  norm_topk_prob: flag,
  routed_scaling_factor: real(-1e6, 1e6),
  use_expert_bias: flag,
});

/** `config.json` with the type and range of every key checked, before any precedence. */
export type RawConfig = v.InferOutput<typeof configSchema>;

/** Keys that the reference implementation ignores too, or that say nothing about inference. */
const ignoredKeys: ReadonlySet<string> = new Set([
  ...["block_dim", "conv_dim", "conv_dim_out", "num_heads", "use_pos_enc", "block_use_swiglu", "block_norm_eps", "theta"],
  ...["block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init", "conv_use_xavier_init", "initializer_range"],
  ...["transformers_version", "use_cache", "_name_or_path", "id2label", "label2id", "return_dict", "problem_type", "is_encoder_decoder"],
  ...["output_attentions", "output_hidden_states", "output_router_logits", "router_aux_loss_coef", "chunk_size_feed_forward"],
]);

/** Keys that change the model's meaning unless they are null: what each one would ask for. */
export const refusedKeys: ReadonlyMap<string, string> = new Map([
  ["text_config", "a vision or audio model; give lfmc the text model's own config and weights"],
  ["vision_config", "a vision model; give lfmc the text model's own config and weights"],
  ["audio_config", "an audio model; give lfmc the text model's own config and weights"],
  ["sliding_window", "windowed attention; LFM2 attends to all positions: remove the key if the model does"],
  ["quantization_config", "weights that are already quantised; use the original f32, f16 or bf16 checkpoint"],
  ["quantization", "an MLX conversion; use the original f32, f16 or bf16 checkpoint"],
]);

/** Keys of `json` that lfmc neither reads nor knows to be harmless. */
export function unknownKeys(json: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(json).filter((key) => !Object.hasOwn(configSchema.entries, key) && !ignoredKeys.has(key) && !refusedKeys.has(key));
}
