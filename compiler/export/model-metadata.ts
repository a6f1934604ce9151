/** `ModelConfig` -> the metadata of a GGUF file, as llama.cpp's converter writes it. What llama.cpp could not run is refused. */
import type { ModelConfig, MoeConfig, SpecialTokens } from "../import/config.ts";
import type { SamplingDefaults } from "../import/generation-config.ts";
import { unsupported } from "../import/schema-error.ts";
import type { Metadata } from "./gguf-file.ts";

/**
 * What a GGUF file says of a model's shape, under its architecture's name. Throws config/unsupported, naming `model`, where it has no words
 * for it.
 */
export function modelMetadata(config: ModelConfig, model: string): Metadata {
  refuseInexpressible(config, model);
  const { layers, kvHeads, moe } = config;
  const architecture = moe ? "lfm2moe" : "lfm2";
  const ofArchitecture: Metadata = {
    block_count: layers.length,
    context_length: config.maxPositions,
    embedding_length: config.hiddenSize,
    feed_forward_length: config.feedForwardSize,
    "attention.head_count": config.heads,
    // The only record of which layers are convolutions.
    "attention.head_count_kv": layers.map((kind) => (kind === "attention" ? kvHeads : 0)),
    "rope.freq_base": { float: config.ropeBase },
    "attention.layer_norm_rms_epsilon": { float: config.normEpsilon },
    ...(moe ? expertMetadata(moe) : {}),
    vocab_size: config.vocabSize,
    "shortconv.l_cache": config.convWidth,
  };
  return {
    "general.architecture": architecture,
    ...Object.fromEntries(Object.entries(ofArchitecture).map(([key, value]) => [`${architecture}.${key}`, value])),
  };
}

/** One line for each thing that the file says and llama.cpp does not read. */
export function metadataWarnings({ moe }: ModelConfig, { eos }: SpecialTokens): readonly string[] {
  return [
    ...(moe && moe.routedScale !== 1 ? [`routed_scaling_factor ${moe.routedScale} is written, but llama.cpp takes it for 1`] : []),
    ...(moe && !moe.expertBias ? ["the experts have no bias; it is written as zeros, which llama.cpp asks for"] : []),
    ...(eos.length > 3 ? [`of ${eos.length} end-of-sequence tokens a GGUF file names three: ${eos.slice(0, 3).join(", ")}`] : []),
  ];
}

/** Sampling defaults where the model does not decode greedily. */
export function samplingMetadata({ temperature, topK, topP, minP, repetitionPenalty }: SamplingDefaults): Metadata {
  if (temperature === 0) return {};
  return {
    "general.sampling.temp": { float: temperature },
    ...(topK === 0 ? {} : { "general.sampling.top_k": { int: topK } }),
    ...(topP === 1 ? {} : { "general.sampling.top_p": { float: topP } }),
    ...(minP === 0 ? {} : { "general.sampling.min_p": { float: minP } }),
    ...(repetitionPenalty === 1 ? {} : { "general.sampling.penalty_repeat": { float: repetitionPenalty } }),
  };
}

const sigmoidGating = 2;

function expertMetadata({ expertCount, expertsPerToken, expertSize, denseLayers, routedScale }: MoeConfig): Metadata {
  return {
    expert_count: expertCount,
    expert_used_count: expertsPerToken,
    expert_feed_forward_length: expertSize,
    leading_dense_block_count: denseLayers,
    expert_gating_func: sigmoidGating,
    ...(routedScale === 1 ? {} : { expert_weights_scale: { float: routedScale } }),
  };
}

function refuseInexpressible({ convBias, heads, headSize, hiddenSize, moe }: ModelConfig, model: string): void {
  const hint = "only lfmc compile takes this model";
  if (convBias) unsupported(model, "conv_bias is true; a GGUF file has no place for biases of convolutions", hint);
  if (heads * headSize !== hiddenSize) {
    unsupported(model, `head_dim ${headSize} is not hidden_size / num_attention_heads, which llama.cpp takes it for`, hint);
  }
  if (moe && !moe.normalizeTopK) unsupported(model, "norm_topk_prob is false; llama.cpp always normalises the experts' weights", hint);
}
