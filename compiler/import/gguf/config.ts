/**
 * GGUF metadata -> the object of a `config.json`, and that of a `generation_config.json`, so that both are checked like any other. Only
 * what GGUF alone can say wrong is refused here; llama.cpp's names are those of its converter.
 */
import { firstWarnings, shown, unsupported } from "../schema-error.ts";
import type { GgufTensor } from "./header.ts";
import type { MetadataReader } from "./metadata.ts";

type JsonObject = Readonly<Record<string, unknown>>;

export interface GgufConfig {
  /** As `config.json`. */
  readonly config: JsonObject;
  /** As `generation_config.json`; null where the file says nothing of sampling. */
  readonly generation: JsonObject | null;
  readonly warnings: readonly string[];
}

/** Keys after `lfm2.` or `lfm2moe.` that are read, or say nothing that lfmc needs. */
const knownKeys: ReadonlySet<string> = new Set([
  ...["block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size", "shortconv.l_cache"],
  ...["attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.causal"],
  ...["attention.layer_norm_rms_epsilon", "attention.sliding_window", "pooling_type", "embedding_length_out"],
  ...["rope.freq_base", "rope.dimension_count", "rope.scaling.type", "rope.scaling.factor"],
  ...["expert_count", "expert_used_count", "expert_feed_forward_length", "leading_dense_block_count", "expert_gating_func"],
  ...["expert_weights_scale", "expert_weights_norm", "expert_shared_count", "expert_group_count", "expert_group_used_count"],
]);

/** llama.cpp's number of the sigmoid. */
const sigmoidGating = 2;

/** Reads the metadata of a model whose tensors are these. Throws gguf/metadata and config/unsupported. */
export function configOf(metadata: MetadataReader, tensors: ReadonlyMap<string, GgufTensor>): GgufConfig {
  const architecture = metadata.need("general.architecture", metadata.text("general.architecture"));
  if (architecture !== "lfm2" && architecture !== "lfm2moe") {
    return unsupported(metadata.file, `general.architecture is ${shown(architecture)}`, "lfmc compiles models of lfm2 and lfm2moe only");
  }
  const keys = new ArchitectureKeys(metadata, architecture);
  refuseOtherModels(keys);
  const layerKeyValueHeads = keyValueHeads(keys);
  const heads = keys.needWhole("attention.head_count");
  const config = {
    model_type: architecture === "lfm2" ? "lfm2" : "lfm2_moe",
    vocab_size: keys.whole("vocab_size") ?? tensors.get("token_embd.weight")?.shape[0],
    hidden_size: keys.needWhole("embedding_length"),
    num_hidden_layers: layerKeyValueHeads.length,
    layer_types: layerKeyValueHeads.map((count) => (count === 0 ? "conv" : "full_attention")),
    num_attention_heads: heads,
    num_key_value_heads: layerKeyValueHeads.find((count) => count !== 0) ?? heads,
    head_dim: keys.whole("attention.key_length"),
    conv_L_cache: keys.whole("shortconv.l_cache"),
    conv_bias: [...tensors.keys()].some((name) => name.endsWith(".shortconv.conv.bias")),
    intermediate_size: keys.needSame("feed_forward_length"),
    block_auto_adjust_ff_dim: false,
    norm_eps: metadata.need(keys.name("attention.layer_norm_rms_epsilon"), keys.real("attention.layer_norm_rms_epsilon")),
    rope_parameters: { rope_type: "default", rope_theta: metadata.need(keys.name("rope.freq_base"), keys.real("rope.freq_base")) },
    tie_word_embeddings: !tensors.has("output.weight"),
    max_position_embeddings: keys.needWhole("context_length"),
    ...tokensOf(metadata),
    ...(architecture === "lfm2moe" ? expertsOf(keys, tensors) : {}),
  };
  return { config, generation: generationOf(metadata), warnings: unknownKeys(metadata, architecture) };
}

/** Keys of one architecture. */
class ArchitectureKeys {
  readonly metadata: MetadataReader;
  readonly #architecture: string;

  constructor(metadata: MetadataReader, architecture: string) {
    this.metadata = metadata;
    this.#architecture = architecture;
  }

  name(key: string): string {
    return `${this.#architecture}.${key}`;
  }

  whole(key: string): number | null {
    return this.metadata.whole(this.name(key));
  }

  real(key: string): number | null {
    return this.metadata.real(this.name(key));
  }

  needWhole(key: string): number {
    return this.metadata.need(this.name(key), this.whole(key));
  }

  /** A number, or a list of one each layer, all the same. */
  needSame(key: string): number {
    const list = this.#isList(key) ? this.list(key) : [this.needWhole(key)];
    const [first] = list;
    if (first === undefined || list.some((value) => value !== first)) {
      return unsupported(this.metadata.file, `${this.name(key)} differs between layers`, "lfmc compiles models in which it is the same");
    }
    return first;
  }

  /** One number a layer; one number alone stands for all of them. */
  perLayer(key: string, layers: number): readonly number[] {
    if (!this.#isList(key)) return new Array<number>(layers).fill(this.needWhole(key));
    const list = this.list(key);
    if (list.length === layers) return list;
    return this.metadata.bad(`${this.name(key)} has ${list.length} items; ${this.name("block_count")} is ${layers}`);
  }

  list(key: string): readonly number[] {
    return this.metadata.need(this.name(key), this.metadata.wholes(this.name(key)));
  }

  #isList(key: string): boolean {
    return this.metadata.isArray(this.name(key));
  }
}

/** Key-value heads of each layer; 0 is a short convolution. */
function keyValueHeads(keys: ArchitectureKeys): readonly number[] {
  const layers = keys.needWhole("block_count");
  if (layers < 1 || layers > 1024) return keys.metadata.bad(`${keys.name("block_count")} is ${layers}; expected 1 to 1024`);
  const counts = keys.perLayer("attention.head_count_kv", layers);
  const [first] = counts.filter((count) => count !== 0);
  if (counts.every((count) => count === 0 || count === first)) return counts;
  const fact = `${keys.name("attention.head_count_kv")} differs between attention layers`;
  return unsupported(keys.metadata.file, fact, "lfmc compiles models in which all attention layers have as many key-value heads");
}

/** What would make it another model: what each key asks for, unless it has a value that asks for nothing. */
function refuseOtherModels(keys: ArchitectureKeys): void {
  const { metadata } = keys;
  const refuse = (key: string, value: unknown, hint: string): void => {
    unsupported(metadata.file, `${keys.name(key)} is ${shown(value)}`, hint);
  };
  const encoder = "encoder, ColBERT and embedding models look both ways: lfmc compiles causal text models";
  if (metadata.flag(keys.name("attention.causal")) === false) refuse("attention.causal", false, encoder);
  const pooling = keys.whole("pooling_type") ?? 0;
  if (pooling !== 0) refuse("pooling_type", pooling, encoder);
  const window = keys.whole("attention.sliding_window") ?? 0;
  if (window !== 0) refuse("attention.sliding_window", window, "LFM2 text models attend to all positions");
  const scaling = metadata.text(keys.name("rope.scaling.type")) ?? "none";
  if (scaling !== "none") refuse("rope.scaling.type", scaling, "LFM2 uses plain rotary positions");
  const factor = keys.real("rope.scaling.factor") ?? 1;
  if (factor !== 1) refuse("rope.scaling.factor", factor, "LFM2 uses plain rotary positions");
  const [keySize, valueSize] = [keys.whole("attention.key_length"), keys.whole("attention.value_length")];
  if (keySize !== valueSize) refuse("attention.value_length", valueSize, "LFM2's keys and values have the same size: give both, or none");
  const headSize = keySize ?? keys.needWhole("embedding_length") / keys.needWhole("attention.head_count");
  const rotated = keys.whole("rope.dimension_count") ?? headSize;
  if (rotated !== headSize) refuse("rope.dimension_count", rotated, "LFM2 rotates the whole head");
  for (const [key, harmless] of [
    ["expert_shared_count", 0],
    ["expert_group_count", 1],
    ["expert_group_used_count", 1],
  ] as const) {
    const count = keys.whole(key) ?? harmless;
    if (count > harmless) refuse(key, count, "LFM2-MoE has neither shared experts nor groups of experts");
  }
}

function tokensOf(metadata: MetadataReader): JsonObject {
  const id = (name: string): number | null => metadata.whole(`tokenizer.ggml.${name}_token_id`);
  const ends = [id("eos"), id("eot"), id("eom")].filter((end) => end !== null);
  return {
    bos_token_id: id("bos"),
    eos_token_id: [...new Set(ends)],
    pad_token_id: id("padding"),
  };
}

function expertsOf(keys: ArchitectureKeys, tensors: ReadonlyMap<string, GgufTensor>): JsonObject {
  const gating = keys.needWhole("expert_gating_func");
  if (gating !== sigmoidGating) {
    return unsupported(keys.metadata.file, `${keys.name("expert_gating_func")} is ${gating}`, "LFM2-MoE's router has the sigmoid, 2");
  }
  // llama.cpp takes 0 for none, too.
  const scale = keys.real("expert_weights_scale") ?? 0;
  return {
    num_experts: keys.needWhole("expert_count"),
    num_experts_per_tok: keys.needWhole("expert_used_count"),
    moe_intermediate_size: keys.needSame("expert_feed_forward_length"),
    num_dense_layers: keys.whole("leading_dense_block_count") ?? 0,
    norm_topk_prob: keys.metadata.flag(keys.name("expert_weights_norm")) ?? true,
    routed_scaling_factor: scale === 0 ? 1 : scale,
    use_expert_bias: [...tensors.keys()].some((name) => name.endsWith(".exp_probs_b.bias")),
  };
}

/** Sampling by temperature, where the file names one above 0. */
function generationOf(metadata: MetadataReader): JsonObject | null {
  const key = (name: string): string => `general.sampling.${name}`;
  const temperature = metadata.real(key("temp"));
  const config = {
    do_sample: temperature !== null && temperature > 0,
    temperature: temperature !== null && temperature > 0 ? temperature : null,
    top_k: metadata.whole(key("top_k")),
    top_p: metadata.real(key("top_p")),
    min_p: metadata.real(key("min_p")),
    repetition_penalty: metadata.real(key("penalty_repeat")),
  };
  return metadata.keys().some((name) => name.startsWith(key(""))) ? config : null;
}

function unknownKeys(metadata: MetadataReader, architecture: string): readonly string[] {
  const prefix = `${architecture}.`;
  const unknown = metadata.keys().filter((key) => key.startsWith(prefix) && !knownKeys.has(key.slice(prefix.length)));
  return firstWarnings(
    unknown.map((key) => `GGUF metadata: unknown key ${shown(key)} is ignored`),
    "unknown keys",
  );
}
