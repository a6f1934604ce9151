/** Shapes that kernels are measured at: whole models without weights, since a plan needs no more. No file is read. */
import type { ModelConfig } from "../import/config.ts";
import { greedy } from "../import/generation-config.ts";
import { buildGraph } from "../import/lfm2.ts";
import type { ImportedModel } from "../import/model.ts";
import { randomWeights } from "../import/random-weights.ts";
import type { WeightFormat } from "../passes/index.ts";

export interface BenchShape {
  readonly model: ImportedModel;
  /** Encodings of the weights to measure. */
  readonly quants: readonly WeightFormat[];
  /** Rows of the calls to measure. */
  readonly rows: readonly number[];
}

const decodeAndPrefill = [1, 64];

const noTokens = { bos: null, eos: [], pad: null };

/** What the measured releases have in common. */
const common: Omit<ModelConfig, "vocabSize" | "hiddenSize" | "layers" | "heads" | "kvHeads" | "feedForwardSize"> = {
  type: "lfm2",
  dtype: null,
  headSize: 64,
  convWidth: 3,
  convBias: false,
  normEpsilon: 1e-5,
  ropeBase: 1e6,
  tied: true,
  maxPositions: 4096,
  tokens: noTokens,
  moe: null,
};

const lfm2350M: ModelConfig = {
  ...common,
  vocabSize: 65536,
  hiddenSize: 1024,
  layers: layers(16, [2, 5, 8, 10, 12, 14]),
  heads: 16,
  kvHeads: 8,
  feedForwardSize: 4608,
};

/** Each kind of layer, two of them with experts; all 24 would take 4.8 GB. */
const lfm28BA1B: ModelConfig = {
  ...common,
  type: "lfm2_moe",
  vocabSize: 65536,
  hiddenSize: 2048,
  layers: layers(3, [1]),
  heads: 32,
  kvHeads: 8,
  feedForwardSize: 7168,
  moe: { expertCount: 32, expertsPerToken: 4, expertSize: 1792, denseLayers: 1, normalizeTopK: true, routedScale: 1, expertBias: true },
};

const demo: ModelConfig = {
  ...common,
  vocabSize: 4096,
  hiddenSize: 256,
  layers: layers(8, [2, 4, 6]),
  heads: 4,
  kvHeads: 2,
  feedForwardSize: 640,
};

/**
 * LFM2-350M as it is used, a part of LFM2-8B-A1B, and the demo model in whole weights too: in f32 the larger ones would take gigabytes. The mixture
 * only decodes: without real weights, all rows of a call would go to the same experts.
 */
export const benchShapes: readonly BenchShape[] = [
  { model: shapeOf("LFM2-350M", lfm2350M), quants: ["q4_0"], rows: decodeAndPrefill },
  { model: shapeOf("LFM2-8B-A1B (3 of 24 layers)", lfm28BA1B), quants: ["q4_0"], rows: [1] },
  { model: shapeOf("demo-model", demo), quants: ["q4_0", "f32"], rows: decodeAndPrefill },
];

function layers(count: number, attention: readonly number[]): ModelConfig["layers"] {
  return Array.from({ length: count }, (_, i) => (attention.includes(i) ? "attention" : "conv"));
}

/** A model of a config alone: enough to plan it. */
export function shapeOf(name: string, config: ModelConfig): ImportedModel {
  return {
    name,
    config,
    sampling: greedy,
    tokens: noTokens,
    graph: buildGraph(config, "separate", name),
    store: randomWeights([], 0),
    warnings: [],
    files: { tokenizer: null, tokenizerConfig: null, chatTemplate: null, generationConfig: null, license: null },
  };
}
