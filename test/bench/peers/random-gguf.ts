/**
 * A GGUF model of an LFM2 shape with random weights: matrices in Q4_0, the embedding among them, norms, convolutions and routers in f32, much as
 * lfmc's own q4_0 has them. Speed does not depend on the values.
 */
import type { ModelConfig, MoeConfig } from "../../../compiler/import/config.ts";
import { tensorBytes, writeGguf, type MetadataValue, type Tensor } from "./gguf.ts";
import { isReserved, makeVocabulary } from "./vocabulary.ts";

/** Writes the model to `path`. */
export async function writeRandomGguf(path: string, config: ModelConfig): Promise<void> {
  await writeGguf(path, metadataOf(config), tensorsOf(config));
}

/** Bytes of the model's tensors. */
export function weightBytes(config: ModelConfig): number {
  return tensorsOf(config).reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
}

function metadataOf(config: ModelConfig): Readonly<Record<string, MetadataValue>> {
  const { layers, heads, kvHeads, hiddenSize, feedForwardSize, maxPositions, vocabSize, tokens, moe } = config;
  const architecture = moe ? "lfm2moe" : "lfm2";
  const { tokens: texts, types, merges } = makeVocabulary(vocabSize);
  const ofArchitecture: Readonly<Record<string, MetadataValue>> = {
    block_count: layers.length,
    context_length: maxPositions,
    embedding_length: hiddenSize,
    feed_forward_length: feedForwardSize,
    vocab_size: vocabSize,
    "attention.head_count": heads,
    "attention.head_count_kv": layers.map((kind) => (kind === "attention" ? kvHeads : 0)),
    "attention.layer_norm_rms_epsilon": { float: config.normEpsilon },
    "rope.freq_base": { float: config.ropeBase },
    "shortconv.l_cache": config.convWidth,
    ...(moe ? expertMetadata(moe) : {}),
  };
  return {
    "general.architecture": architecture,
    "general.name": "random weights",
    "general.file_type": 2,
    "general.quantization_version": 2,
    ...Object.fromEntries(Object.entries(ofArchitecture).map(([key, value]) => [`${architecture}.${key}`, value])),
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "lfm2",
    "tokenizer.ggml.tokens": texts,
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.merges": merges,
    "tokenizer.ggml.bos_token_id": tokens.bos ?? 1,
    "tokenizer.ggml.eos_token_id": tokens.eos[0] ?? 7,
    "tokenizer.ggml.padding_token_id": tokens.pad ?? 0,
    "tokenizer.ggml.add_bos_token": true,
    "tokenizer.chat_template": "{{bos_token}}{% for m in messages %}{{m['content']}}{% endfor %}",
  };
}

const sigmoidGating = 2;

function expertMetadata({ expertCount, expertsPerToken, expertSize, denseLayers }: MoeConfig): Readonly<Record<string, MetadataValue>> {
  return {
    expert_count: expertCount,
    expert_used_count: expertsPerToken,
    expert_feed_forward_length: expertSize,
    leading_dense_block_count: denseLayers,
    expert_gating_func: sigmoidGating,
  };
}

function tensorsOf(config: ModelConfig): readonly Tensor[] {
  const { vocabSize, hiddenSize, layers, tied } = config;
  return [
    matrix("token_embd.weight", [vocabSize, hiddenSize], isReserved),
    norm("token_embd_norm.weight", hiddenSize),
    ...(tied ? [] : [matrix("output.weight", [vocabSize, hiddenSize], isReserved)]),
    ...layers.flatMap((kind, layer) => layerTensors(config, kind, layer)),
  ];
}

function layerTensors(config: ModelConfig, kind: "conv" | "attention", layer: number): readonly Tensor[] {
  const { hiddenSize: h, heads, kvHeads, headSize, convWidth, moe } = config;
  const name = (part: string): string => `blk.${layer}.${part}.weight`;
  const attention = (): readonly Tensor[] => [
    matrix(name("attn_q"), [heads * headSize, h]),
    matrix(name("attn_k"), [kvHeads * headSize, h]),
    matrix(name("attn_v"), [kvHeads * headSize, h]),
    matrix(name("attn_output"), [h, heads * headSize]),
    norm(name("attn_q_norm"), headSize),
    norm(name("attn_k_norm"), headSize),
  ];
  const convolution = (): readonly Tensor[] => [
    plain(name("shortconv.conv"), [h, convWidth], convolutionScale),
    matrix(name("shortconv.in_proj"), [3 * h, h]),
    matrix(name("shortconv.out_proj"), [h, h]),
  ];
  return [
    norm(name("attn_norm"), h),
    norm(name("ffn_norm"), h),
    ...(kind === "attention" ? attention() : convolution()),
    ...(moe && layer >= moe.denseLayers ? expertTensors(moe, h, layer, name) : denseTensors(config, name)),
  ];
}

function denseTensors({ hiddenSize, feedForwardSize }: ModelConfig, name: (part: string) => string): readonly Tensor[] {
  return [
    matrix(name("ffn_gate"), [feedForwardSize, hiddenSize]),
    matrix(name("ffn_up"), [feedForwardSize, hiddenSize]),
    matrix(name("ffn_down"), [hiddenSize, feedForwardSize]),
  ];
}

function expertTensors(
  { expertCount, expertSize }: MoeConfig,
  hiddenSize: number,
  layer: number,
  name: (part: string) => string,
): readonly Tensor[] {
  return [
    plain(name("ffn_gate_inp"), [expertCount, hiddenSize], weightScale),
    plain(`blk.${layer}.exp_probs_b.bias`, [expertCount], weightScale),
    matrix(name("ffn_gate_exps"), [expertCount, expertSize, hiddenSize]),
    matrix(name("ffn_up_exps"), [expertCount, expertSize, hiddenSize]),
    matrix(name("ffn_down_exps"), [expertCount, hiddenSize, expertSize]),
  ];
}

const weightScale = 0.02;
const convolutionScale = 0.3;
const blockBytes = 18;
const blockValues = 32;
/** 2^-8 in f16: with the nibbles below, weights of about `weightScale`. */
const blockScale = 0x1c00;

/** A Q4_0 matrix; the rows that `isZero` picks are all zeros. */
function matrix(name: string, shape: readonly number[], isZero: (row: number) => boolean = () => false): Tensor {
  const rowBytes = ((shape.at(-1) ?? 0) / blockValues) * blockBytes;
  const fill = (bytes: Uint8Array, firstRow: number): void => {
    fillBlocks(bytes, randomFrom(firstRow));
    for (let start = 0; start < bytes.length; start += rowBytes) {
      if (isZero(firstRow + start / rowBytes)) bytes.fill(0, start, start + rowBytes);
    }
  };
  return { name, shape, type: "q4_0", fill };
}

/** Blocks of one scale; their nibbles are odd, so that weights, nibble - 8, are as often negative as positive. */
function fillBlocks(bytes: Uint8Array, random: () => number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0; block < bytes.length; block += blockBytes) {
    view.setUint16(block, blockScale, true);
    for (let at = 2; at < blockBytes; at += 4) view.setUint32(block + at, random() | 0x11111111, true);
  }
}

function plain(name: string, shape: readonly number[], scale: number): Tensor {
  const fill = (bytes: Uint8Array, firstRow: number): void => {
    const random = randomFrom(firstRow);
    fillFloats(bytes, () => scale * (random() / 2 ** 31 - 1));
  };
  return { name, shape, type: "f32", fill };
}

function norm(name: string, size: number): Tensor {
  return {
    name,
    shape: [size],
    type: "f32",
    fill: (bytes) => {
      fillFloats(bytes, () => 1);
    },
  };
}

function fillFloats(bytes: Uint8Array, next: () => number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 4) view.setFloat32(at, next(), true);
}

/** Xorshift: u32 numbers that are the same in every run. */
function randomFrom(seed: number): () => number {
  let state = ((seed + 1) * 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
