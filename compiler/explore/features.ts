/**
 * What takes time of a candidate's work, counted from its genes alone: bytes of weights, multiply-adds, numbers that pass through activations, layers
 * whose kernels are called. A cost model weighs them. Each has a nominal weight, of a usual processor, that says how features compare before anything
 * was measured.
 */
import { groupSize } from "../numeric/quantize.ts";
import { bytesPerWeight, layerCounts, layerMacs } from "./sizes.ts";
import type { BaseConfig, Candidate, Figure, QuantName, Work } from "./types.ts";

/** A quantity, and the milliseconds that one of it takes on a usual processor. */
export interface Feature {
  readonly name: string;
  readonly quantity: number;
  readonly nominalMs: number;
}

/** The features of one figure; the same names, in the same order, for every candidate. */
export function featuresOf(figure: Figure, candidate: Candidate, base: BaseConfig, work: Work): readonly Feature[] {
  return figure === "decodeMs" ? decodeFeatures(candidate, base, work) : prefillFeatures(candidate, base, work);
}

const million = 1e6;
const formats: readonly QuantName[] = ["q3_0", "q4_0", "q4_1", "q8_0", "f16", "bf16", "f32"];
/** Bytes of one cached number. */
const cachedBytes = { f16: 2, q8_0: 1 + 4 / groupSize } as const;
/** Megabytes that stay in the cache of a core, or near it: what a token reads beyond comes from further away. */
const nearMegabytes = 8;
/** Rows of a call that share what it reads. */
const callRows = 128;

/** One token at the end of the context. */
function decodeFeatures(candidate: Candidate, base: BaseConfig, { context }: Work): readonly Feature[] {
  const { heads, width, quant, kv } = candidate;
  const counts = layerCounts(candidate);
  const { conv, attention, dense } = layerMacs(candidate);
  const head = width * base.vocab_size;
  const megabytes = ((counts.conv * conv + counts.attention * attention + counts.dense * dense + head) * bytesPerWeight[quant]) / million;
  const expertMegabytes = (expertMacs(candidate) * bytesPerWeight[quant]) / million;
  const cacheMegabytes = (counts.attention * cacheWidth(candidate) * context * cachedBytes[kv]) / million;
  return [
    ...formats.map((name) => ({
      name: `megabytes of ${name}`,
      quantity: name === quant ? megabytes + expertMegabytes : 0,
      nominalMs: name === "q3_0" ? 0.14 : 0.1,
    })),
    { name: "megabytes of experts", quantity: expertMegabytes, nominalMs: 0.02 },
    {
      name: "megabytes beyond the near cache",
      quantity: Math.max(0, megabytes + expertMegabytes + cacheMegabytes - nearMegabytes),
      nominalMs: 0.02,
    },
    ...(["f16", "q8_0"] as const).map((name) => ({
      name: `millions of cached numbers met in ${name}`,
      quantity: name === kv ? (2 * counts.attention * width * context) / million : 0,
      nominalMs: 0.06,
    })),
    { name: "megabytes of the KV cache", quantity: cacheMegabytes, nominalMs: 0.08 },
    { name: "millions of scores", quantity: (counts.attention * heads * context) / million, nominalMs: 2 },
    ...layerFeatures(candidate, 1),
  ];
}

/** The prompt, from position 0. */
function prefillFeatures(candidate: Candidate, base: BaseConfig, { prompt }: Work): readonly Feature[] {
  const { heads, width, quant, experts } = candidate;
  const counts = layerCounts(candidate);
  const { conv, attention, dense, router } = layerMacs(candidate);
  const macs = counts.conv * conv + counts.attention * attention + counts.dense * dense;
  const pairs = (prompt * (prompt + 1)) / 2;
  const calls = Math.ceil(prompt / callRows);
  return [
    ...formats.map((name) => ({
      name: `millions of multiply-adds with ${name}`,
      quantity: name === quant ? (prompt * (macs + expertMacs(candidate))) / million : 0,
      nominalMs: name === "q8_0" ? 0.04 : 0.02,
    })),
    { name: "millions of multiply-adds in experts", quantity: (prompt * expertMacs(candidate)) / million, nominalMs: 0.005 },
    { name: "millions of multiply-adds in routers", quantity: (prompt * counts.sparse * router) / million, nominalMs: 0.1 },
    { name: "experts called", quantity: counts.sparse * (experts?.count ?? 0) * calls, nominalMs: 0.002 },
    { name: "millions of cached numbers met", quantity: (2 * counts.attention * width * pairs) / million, nominalMs: 0.05 },
    { name: "millions of scores", quantity: (counts.attention * heads * pairs) / million, nominalMs: 2 },
    { name: "megabytes of the head", quantity: (width * base.vocab_size * bytesPerWeight[quant]) / million, nominalMs: 0.1 },
    ...layerFeatures(candidate, prompt),
  ];
}

/** What grows with the layers and the rows that pass through them. */
function layerFeatures(candidate: Candidate, rows: number): readonly Feature[] {
  const { width, ffnWidth, convWidth, experts } = candidate;
  const counts = layerCounts(candidate);
  const inner = counts.dense * ffnWidth + counts.sparse * (experts ? experts.perToken * (experts.width + width) : 0);
  const outer = width * (2 * candidate.layers.length + counts.attention);
  const gated = counts.conv * width * (convWidth + 2);
  return [
    { name: "millions of numbers between layers", quantity: (rows * outer) / million, nominalMs: 2 },
    { name: "millions of numbers in feed-forwards", quantity: (rows * inner) / million, nominalMs: 2 },
    { name: "millions of taps", quantity: (rows * gated) / million, nominalMs: 1 },
    { name: "convolutions", quantity: counts.conv, nominalMs: 0.003 },
    { name: "attention layers", quantity: counts.attention, nominalMs: 0.006 },
    { name: "sparse layers", quantity: counts.sparse, nominalMs: 0.01 },
    { name: "calls", quantity: 1, nominalMs: 0.05 },
  ];
}

/** Multiply-adds of a row in all experts that it goes through. */
function expertMacs(candidate: Candidate): number {
  const { experts } = candidate;
  return layerCounts(candidate).sparse * layerMacs(candidate).expert * (experts?.perToken ?? 0);
}

/** Numbers that a layer keeps of a position. */
function cacheWidth({ width, heads, kvHeads }: Candidate): number {
  return (2 * kvHeads * width) / heads;
}
