/**
 * `config.json` -> `ModelConfig`: every spelling that LFM2 releases and transformers versions have used comes out as one immutable
 * record, in which nothing is optional and every number is in range. Class defaults of transformers match no release, so sizes are
 * never guessed: a size that the file does not give is an error.
 */
import { configSchema, refusedKeys, unknownKeys, type RawConfig } from "./config-schema.ts";
import { feedForwardSize } from "./feed-forward-size.ts";
import { firstWarnings, invalid, isRecord, objectOf, parseWith, shown, unsupported } from "./schema-error.ts";
import type { FloatType } from "./weight-store.ts";

export type LayerKind = "conv" | "attention";

export interface MoeConfig {
  readonly expertCount: number;
  readonly expertsPerToken: number;
  /** Width of one expert's feed-forward. */
  readonly expertSize: number;
  /** Layers below this index have a dense feed-forward. */
  readonly denseLayers: number;
  readonly normalizeTopK: boolean;
  readonly routedScale: number;
  /** Whether a bias takes part in choosing experts. */
  readonly expertBias: boolean;
}

export interface SpecialTokens {
  readonly bos: number | null;
  readonly eos: readonly number[];
  readonly pad: number | null;
}

export interface ModelConfig {
  readonly type: "lfm2" | "lfm2_moe";
  /** What the config says its weights are stored as; null where it says nothing. The file itself decides. */
  readonly dtype: FloatType | null;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly layers: readonly LayerKind[];
  readonly heads: number;
  readonly kvHeads: number;
  /** Even; heads * headSize may differ from hiddenSize. */
  readonly headSize: number;
  /** Taps of the short convolution, the current token's included; unused where no layer is one. */
  readonly convWidth: number;
  /** Biases on in_proj, conv and out_proj, together. */
  readonly convBias: boolean;
  /** Width of the dense feed-forward, after any adjustment: the rows of w1. */
  readonly feedForwardSize: number;
  readonly normEpsilon: number;
  readonly ropeBase: number;
  /** The lm head is the embedding table. */
  readonly tied: boolean;
  readonly maxPositions: number;
  readonly tokens: SpecialTokens;
  /** Null for the dense type. */
  readonly moe: MoeConfig | null;
}

export interface ParsedConfig {
  readonly config: ModelConfig;
  /** Keys that lfmc does not know, and contradictions that precedence settled. */
  readonly warnings: readonly string[];
}

/**
 * Reads a parsed `config.json`. `file` names it in errors: `config/invalid` for a value that cannot be, `config/unsupported` for a
 * model that is not a causal LFM2 or LFM2-MoE text model.
 */
export function parseConfig(json: unknown, file: string): ParsedConfig {
  const object = objectOf(json, file);
  const type = modelType(object, file);
  const raw = parseWith(configSchema, object, file);
  refuseOtherModels(raw, type, object, file);
  const layerCount = need(raw.num_hidden_layers, "num_hidden_layers", file);
  const layers = layerKinds(raw, type, layerCount, file);
  const vocabSize = need(raw.vocab_size, "vocab_size", file);
  const config: ModelConfig = {
    type,
    dtype: dtypeOf(raw, file),
    vocabSize,
    hiddenSize: need(raw.hidden_size, "hidden_size", file),
    layers,
    ...attentionSizes(raw, file),
    convWidth: layers.includes("conv") ? need(raw.conv_L_cache, "conv_L_cache", file) : (raw.conv_L_cache ?? 3),
    convBias: raw.conv_bias ?? false,
    feedForwardSize: type === "lfm2" ? feedForwardSize(raw, file) : need(raw.intermediate_size, "intermediate_size", file),
    normEpsilon: raw.norm_eps ?? 1e-5,
    ropeBase: raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? 1e6,
    tied: raw.tie_embedding ?? raw.tie_word_embeddings ?? true,
    maxPositions: need(raw.max_position_embeddings, "max_position_embeddings", file),
    tokens: specialTokens(raw, vocabSize, file),
    moe: type === "lfm2_moe" ? moeConfig(raw, layerCount, file) : null,
  };
  return { config, warnings: warningsOf(object, raw, layers) };
}

/** A size that has no sane default. */
export function need<T>(value: T | null | undefined, key: string, file: string): T {
  return value ?? invalid(file, `${key} is missing`, `add ${key} to ${file}; lfmc never guesses sizes`);
}

/** Token ids as lists and nulls, each checked against the vocabulary (`config/invalid`). */
export function specialTokens(
  raw: Pick<RawConfig, "bos_token_id" | "eos_token_id" | "pad_token_id">,
  vocabSize: number,
  file: string,
): SpecialTokens {
  const eos = raw.eos_token_id ?? [];
  const tokens = { bos: raw.bos_token_id ?? null, eos: typeof eos === "number" ? [eos] : eos, pad: raw.pad_token_id ?? null };
  for (const [key, ids] of Object.entries({ bos_token_id: [tokens.bos], eos_token_id: tokens.eos, pad_token_id: [tokens.pad] })) {
    const outside = ids.find((id) => id !== null && id >= vocabSize);
    if (outside !== undefined) invalid(file, `${key} ${outside} is outside the vocabulary of ${vocabSize}`, `correct ${key} or vocab_size`);
  }
  return tokens;
}

function modelType(object: Readonly<Record<string, unknown>>, file: string): ModelConfig["type"] {
  const type = object.model_type;
  if (type === "lfm2" || type === "lfm2_moe") return type;
  if (type === undefined || type === null) return invalid(file, "model_type is missing", "is this an LFM2 model's config.json?");
  return unsupported(file, `model_type is ${shown(type)}`, "lfmc compiles causal text models of type lfm2 and lfm2_moe only");
}

function refuseOtherModels(raw: RawConfig, type: ModelConfig["type"], object: Readonly<Record<string, unknown>>, file: string): void {
  const causal = type === "lfm2" ? "Lfm2ForCausalLM" : "Lfm2MoeForCausalLM";
  const architectures = raw.architectures ?? [];
  if (architectures.length > 0 && !architectures.some((name) => name.toLowerCase() === causal.toLowerCase())) {
    // Encoder, ColBERT and embedding releases share model_type lfm2 but look both ways and centre their convolution.
    const hint = `lfmc compiles ${causal}; encoder, ColBERT, embedding and classifier models are bidirectional or lack an lm head`;
    unsupported(file, `architectures is ${shown(architectures)}`, hint);
  }
  for (const [key, meaning] of refusedKeys) {
    if (object[key] !== undefined && object[key] !== null) unsupported(file, `${key} asks for ${meaning.split(";")[0] ?? key}`, meaning);
  }
  for (const key of ["rope_parameters", "rope_scaling"] as const) {
    const rope = raw[key];
    const kind = rope?.rope_type ?? rope?.type ?? "default";
    if (kind !== "default")
      unsupported(file, `${key} asks for rope type ${shown(kind)}`, 'LFM2 uses plain rotary positions: rope_type "default"');
    const factor = rope?.partial_rotary_factor ?? 1;
    if (factor !== 1) unsupported(file, `${key}.partial_rotary_factor is ${factor}`, "LFM2 rotates the whole head");
  }
  const activation = raw.hidden_act ?? "silu";
  if (activation !== "silu") unsupported(file, `hidden_act is ${shown(activation)}`, "LFM2's feed-forward uses silu");
}

function layerKinds(raw: RawConfig, type: ModelConfig["type"], count: number, file: string): readonly LayerKind[] {
  const types = raw.layer_types;
  if (types !== null && types !== undefined) {
    if (types.length !== count) {
      invalid(file, `layer_types lists ${types.length} layers, num_hidden_layers is ${count}`, "make the two agree");
    }
    return types.map((name, index) => {
      if (name === "conv") return "conv";
      if (name === "full_attention") return "attention";
      const hint = name === "short_conv" ? 'write "conv", as transformers does' : 'layers are "conv" or "full_attention"';
      return unsupported(file, `layer_types[${index}] is ${shown(name)}`, hint);
    });
  }
  if (type === "lfm2_moe") return invalid(file, "layer_types is missing", "add it: full_attn_idxs has no meaning for lfm2_moe");
  const attention = raw.full_attn_idxs;
  if (attention === null || attention === undefined) return new Array<LayerKind>(count).fill("attention");
  const outside = attention.find((index) => !Number.isSafeInteger(index) || index < 0 || index >= count);
  if (outside !== undefined) invalid(file, `full_attn_idxs holds ${outside}`, `list layer indices from 0 to ${count - 1}`);
  return Array.from({ length: count }, (_, index) => (attention.includes(index) ? "attention" : "conv"));
}

function attentionSizes(raw: RawConfig, file: string): Pick<ModelConfig, "heads" | "kvHeads" | "headSize"> {
  const heads = need(raw.num_attention_heads, "num_attention_heads", file);
  const kvHeads = need(raw.num_key_value_heads, "num_key_value_heads", file);
  const headSize = raw.head_dim ?? need(raw.hidden_size, "hidden_size", file) / heads;
  if (heads % kvHeads !== 0) {
    invalid(file, `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`, "correct one of them");
  }
  if (!Number.isSafeInteger(headSize)) {
    invalid(
      file,
      `hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${heads}`,
      "correct one of them, or give head_dim",
    );
  }
  if (headSize % 2 !== 0) invalid(file, `head_dim ${headSize} is odd`, "rotary positions pair the halves of a head: give an even head_dim");
  return { heads, kvHeads, headSize };
}

/** Experts of all layers; the largest release has 2432. */
const expertsMax = 2 ** 16;

function moeConfig(raw: RawConfig, layerCount: number, file: string): MoeConfig {
  const expertCount = need(raw.num_experts, "num_experts", file);
  const expertsPerToken = need(raw.num_experts_per_tok, "num_experts_per_tok", file);
  const denseLayers = need(raw.num_dense_layers, "num_dense_layers", file);
  if (expertsPerToken > expertCount)
    invalid(file, `num_experts_per_tok ${expertsPerToken} exceeds num_experts ${expertCount}`, "correct one of them");
  if (denseLayers > layerCount)
    invalid(file, `num_dense_layers ${denseLayers} exceeds num_hidden_layers ${layerCount}`, "correct one of them");
  if (expertCount * layerCount > expertsMax)
    invalid(file, `${layerCount} layers of ${expertCount} experts are more than ${expertsMax}`, "correct num_experts or num_hidden_layers");
  return {
    expertCount,
    expertsPerToken,
    expertSize: need(raw.moe_intermediate_size, "moe_intermediate_size", file),
    denseLayers,
    normalizeTopK: raw.norm_topk_prob ?? true,
    routedScale: raw.routed_scaling_factor ?? 1,
    expertBias: raw.use_expert_bias ?? true,
  };
}

function dtypeOf(raw: RawConfig, file: string): FloatType | null {
  const name = raw.dtype ?? raw.torch_dtype;
  switch (name?.replace(/^torch\./, "")) {
    case undefined:
      return null;
    case "float32":
      return "F32";
    case "float16":
      return "F16";
    case "bfloat16":
      return "BF16";
    default:
      return unsupported(file, `dtype is ${shown(name)}`, "lfmc reads float32, float16 and bfloat16 checkpoints");
  }
}

function warningsOf(object: Readonly<Record<string, unknown>>, raw: RawConfig, layers: readonly LayerKind[]): readonly string[] {
  const unknown = unknownKeys(object).map((key) => `config.json: unknown key ${shown(key)} is ignored`);
  const listed = raw.full_attn_idxs;
  const attention = layers.flatMap((kind, index) => (kind === "attention" ? [index] : []));
  const disagree = listed && (listed.length !== attention.length || attention.some((index) => !listed.includes(index)));
  const rope = isRecord(object.rope_parameters) ? Object.keys(object.rope_parameters) : [];
  const ropeUnknown = rope.filter((key) => !["rope_theta", "rope_type", "type", "partial_rotary_factor"].includes(key));
  return [
    ...firstWarnings(unknown, "unknown keys"),
    ...ropeUnknown.map((key) => `config.json: unknown key ${shown(`rope_parameters.${key}`)} is ignored`),
    ...(disagree ? ["config.json: full_attn_idxs disagrees with layer_types, which wins"] : []),
  ];
}
