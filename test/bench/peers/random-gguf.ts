/**
 * A GGUF model of an LFM2 shape with random weights: matrices in Q4_0, the embedding among them, norms, convolutions and routers in f32, as
 * `lfmc export --quant q4_0` has them. Speed does not depend on the values, which are made faster than weights are rounded.
 */
import { open } from "node:fs/promises";
import { planExport } from "../../../compiler/export/export-model.ts";
import { tensorBytes, writeGguf, type GgufTensor, type Metadata } from "../../../compiler/export/gguf-file.ts";
import type { ModelConfig } from "../../../compiler/import/config.ts";
import { greedy } from "../../../compiler/import/generation-config.ts";
import { rowBytes } from "../../../compiler/import/gguf/blocks.ts";
import { buildGraph } from "../../../compiler/import/lfm2.ts";
import { randomWeights } from "../../../compiler/import/random-weights.ts";
import { expectedTensors } from "../../../compiler/import/tensor-names.ts";
import { rowShape } from "../../../compiler/import/weight-store.ts";
import { preparedGraph } from "../../../compiler/pipeline.ts";
import { isReserved, makeVocabulary } from "./vocabulary.ts";

/** Writes the model to `path`. */
export async function writeRandomGguf(path: string, config: ModelConfig): Promise<void> {
  const { metadata, tensors } = planOf(config);
  const file = await open(path, "w");
  try {
    const made = tensors.map((tensor) => ({ ...tensor, pieces: () => randomPieces(tensor) }));
    await writeGguf(file, { ...metadata, ...tokenizerOf(config) }, made);
  } finally {
    await file.close();
  }
}

/** Bytes of the model's tensors. */
export function weightBytes(config: ModelConfig): number {
  return planOf(config).tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
}

function planOf(config: ModelConfig) {
  const store = randomWeights(expectedTensors(config, "separate"), 0);
  const { graph } = preparedGraph({ graph: buildGraph(config, "separate"), store }, { quant: "q4_0" });
  const name = "random weights";
  return planExport({ model: { name, config, store, sampling: greedy, tokens: config.tokens }, tokenizer: null, graph, name });
}

function tokenizerOf({ vocabSize, tokens }: ModelConfig): Metadata {
  const { tokens: texts, types, merges } = makeVocabulary(vocabSize);
  return {
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

const pieceBytes = 4 * 2 ** 20;

function* randomPieces(tensor: GgufTensor): Generator<Uint8Array> {
  const { rows, rowLength } = rowShape(tensor.shape);
  const bytes = rowBytes(tensor.type, rowLength);
  const step = Math.max(1, Math.floor(pieceBytes / bytes));
  for (let row = 0; row < rows; row += step) {
    const piece = new Uint8Array(Math.min(step, rows - row) * bytes);
    if (tensor.type.name === "Q4_0") fillBlocks(piece, randomFrom(row));
    else fillFloats(piece, tensor.name, randomFrom(row));
    if (/^(token_embd|output)\.weight$/.test(tensor.name)) clearReserved(piece, bytes, row);
    yield piece;
  }
}

const blockBytes = 18;
/** 2^-8 in f16: with the nibbles below, weights of about 0.02. */
const blockScale = 0x1c00;

/** Blocks of one scale; their nibbles are odd, so that weights, nibble - 8, are as often negative as positive. */
function fillBlocks(bytes: Uint8Array, random: () => number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0; block < bytes.length; block += blockBytes) {
    view.setUint16(block, blockScale, true);
    for (let at = 2; at < blockBytes; at += 4) view.setUint32(block + at, random() | 0x11111111, true);
  }
}

/** Norms are 1, other numbers random. */
function fillFloats(bytes: Uint8Array, tensor: string, random: () => number): void {
  const scale = tensor.includes("shortconv") ? 0.3 : 0.02;
  const isNorm = tensor.endsWith("norm.weight");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 4) view.setFloat32(at, isNorm ? 1 : scale * (random() / 2 ** 31 - 1), true);
}

/** Tokens that must never be chosen have zeros. */
function clearReserved(bytes: Uint8Array, rowBytes: number, firstRow: number): void {
  for (let start = 0; start < bytes.length; start += rowBytes) {
    if (isReserved(firstRow + start / rowBytes)) bytes.fill(0, start, start + rowBytes);
  }
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
