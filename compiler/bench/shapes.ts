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
}

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

const demo: ModelConfig = {
  ...common,
  vocabSize: 4096,
  hiddenSize: 256,
  layers: layers(8, [2, 4, 6]),
  heads: 4,
  kvHeads: 2,
  feedForwardSize: 640,
};

/** LFM2-350M as it is used, and the demo model in every encoding: in f32 the larger one would take 1.4 GB. */
export const benchShapes: readonly BenchShape[] = [
  { model: shapeOf("LFM2-350M", lfm2350M), quants: ["q4_0"] },
  { model: shapeOf("demo-model", demo), quants: ["q4_0", "f32"] },
];

function layers(count: number, attention: readonly number[]): ModelConfig["layers"] {
  return Array.from({ length: count }, (_, i) => (attention.includes(i) ? "attention" : "conv"));
}

function shapeOf(name: string, config: ModelConfig): ImportedModel {
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
