/** What a candidate is made of, from its genes alone: layers, matrices and weights. */
import { groupSize } from "../numeric/quantize.ts";
import type { BaseConfig, Candidate, QuantName } from "./types.ts";

/** Weights, in numbers. */
export interface Sizes {
  /** All of them. */
  readonly parameters: number;
  /** Those that a token's pass reads: without the experts that it does not go through. */
  readonly activeParameters: number;
  /** The embedding's, and those of a head of its own. */
  readonly embedding: number;
}

/** Bytes as packed, scales included, that a weight takes. */
export const bytesPerWeight: Readonly<Record<QuantName, number>> = {
  q3_0: 3 / 8 + 2 / groupSize,
  q4_0: 4 / 8 + 2 / groupSize,
  q4_1: 4 / 8 + 4 / groupSize,
  q8_0: 1 + 2 / groupSize,
  f16: 2,
  bf16: 2,
  f32: 4,
};

/** Matrices of one layer, in multiply-adds of one row. */
export interface LayerMacs {
  /** In the projections of convolutions. */
  readonly conv: number;
  /** In the projections of attention. */
  readonly attention: number;
  readonly dense: number;
  /** In one expert. */
  readonly expert: number;
  readonly router: number;
}

/** Multiply-adds of one row in a layer's matrices. */
export function layerMacs({ width, heads, kvHeads, ffnWidth, experts }: Candidate): LayerMacs {
  const headSize = width / heads;
  return {
    conv: 4 * width * width,
    attention: 2 * width * width + 2 * width * kvHeads * headSize,
    dense: 3 * width * ffnWidth,
    expert: 3 * width * (experts?.width ?? 0),
    router: width * (experts?.count ?? 0),
  };
}

/** How many layers of each kind there are. */
export interface LayerCounts {
  readonly conv: number;
  readonly attention: number;
  readonly dense: number;
  readonly sparse: number;
}

/** How many layers of each kind a candidate has. */
export function layerCounts({ layers, experts }: Candidate): LayerCounts {
  const attention = layers.filter((kind) => kind === "full_attention").length;
  const dense = experts ? experts.denseLayers : layers.length;
  return { conv: layers.length - attention, attention, dense, sparse: layers.length - dense };
}

/** The sizes of a candidate's weights, all of them: those of norms and taps too. */
export function sizesOf(candidate: Candidate, { vocab_size: vocabulary, tie_word_embeddings: tied }: BaseConfig): Sizes {
  const { width, heads, convWidth, experts } = candidate;
  const { conv, attention, dense, sparse } = layerCounts(candidate);
  const macs = layerMacs(candidate);
  const embedding = vocabulary * width * (tied ? 1 : 2);
  const norms = width * (2 * candidate.layers.length + 1) + attention * 2 * (width / heads);
  const common = conv * (macs.conv + width * convWidth) + attention * macs.attention + dense * macs.dense + norms;
  const router = sparse * (macs.router + (experts?.count ?? 0));
  const { count, perToken } = experts ?? { count: 0, perToken: 0 };
  const total = (expertsRead: number): number => embedding + common + router + sparse * expertsRead * macs.expert;
  return { parameters: total(count), activeParameters: total(perToken), embedding };
}
