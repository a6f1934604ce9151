/**
 * The memory that a candidate's plan will take, near enough to leave out what is far beyond a budget. What is kept is planned, to the byte.
 */
import { cacheBytes, cachedPositions } from "../kernel/library/kv-cache.ts";
import { limitsOf } from "../options.ts";
import { bytesPerWeight, layerCounts, sizesOf } from "./sizes.ts";
import type { BaseConfig, Candidate, Work } from "./types.ts";

const f32Bytes = 4;
/** Rows between two checkpoints of the convolutions' rings, and rows of a ring beside its taps. */
const checkpointRows = 128;
const ringRows = 64;

/** Bytes of weights, a session, logits and the rows of one call. */
export function estimateMemory(candidate: Candidate, base: BaseConfig, { context }: Pick<Work, "context">): number {
  const { prefillChunk, logitRows } = limitsOf({ model: candidate.id, target: "c", context }, sizesForLimits(candidate, base, context));
  const logits = logitRows * base.vocab_size * f32Bytes;
  return weightBytes(candidate, base, context) + sessionBytes(candidate, context) + logits + prefillChunk * rowBytes(candidate);
}

function sizesForLimits({ experts }: Candidate, base: BaseConfig, context: number): Parameters<typeof limitsOf>[1] {
  const moe = experts && {
    expertCount: experts.count,
    expertsPerToken: experts.perToken,
    expertSize: experts.width,
    denseLayers: experts.denseLayers,
    normalizeTopK: true,
    routedScale: 1,
    expertBias: true,
  };
  return { maxPositions: Math.max(context, base.max_position_embeddings), vocabSize: base.vocab_size, moe };
}

/** Matrices, and the table of RoPE's angles. */
function weightBytes(candidate: Candidate, base: BaseConfig, context: number): number {
  const { width, heads, quant } = candidate;
  return sizesOf(candidate, base).parameters * bytesPerWeight[quant] + context * (width / heads) * f32Bytes;
}

function sessionBytes(candidate: Candidate, context: number): number {
  const { width, heads, kvHeads, kv, convWidth } = candidate;
  const { conv, attention } = layerCounts(candidate);
  const cache = cacheBytes({ format: kv, kvHeads, headSize: width / heads, context: cachedPositions(context) });
  const checkpoints = Math.floor((context - 1) / checkpointRows) * (convWidth - 1);
  return attention * cache + conv * width * f32Bytes * (ringRows + convWidth + checkpoints);
}

/** What lives at once at the widest place of a layer, for one row. */
function rowBytes({ width, ffnWidth, heads, kvHeads, experts }: Candidate): number {
  const headSize = width / heads;
  const conv = 3 * width;
  const attention = 2 * width + 2 * kvHeads * headSize;
  const sparse = experts ? experts.perToken * (experts.width + width) : 0;
  return f32Bytes * (2 * width + Math.max(conv, attention, ffnWidth, sparse));
}
