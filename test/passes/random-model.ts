/** Random LFM2-like graphs with weights and sessions, and all the bits that a graph gives for them. */
import fc from "fast-check";
import { createInterpreter } from "../../compiler/graph/interpret.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import type { Graph, Node, Row } from "../../compiler/graph/types.ts";
import type { LayerKind, ModelConfig, MoeConfig } from "../../compiler/import/config.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { randomWeights } from "../../compiler/import/random-weights.ts";
import { readConstant } from "../../compiler/import/read-constant.ts";
import { expectedTensors } from "../../compiler/import/tensor-names.ts";
import type { WeightStore } from "../../compiler/import/weight-store.ts";

export interface RandomModel {
  /** As imported: nothing fused, all f32. */
  readonly graph: Graph;
  readonly store: WeightStore;
  /** Rows of each call; several sessions take turns. */
  readonly calls: readonly (readonly Row[])[];
}

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });

/** At least one layer of either kind, in any order. */
const layerKinds: fc.Arbitrary<readonly LayerKind[]> = fc
  .array(fc.constantFrom<LayerKind>("conv", "attention"), { maxLength: 1 })
  .chain((more) => fc.shuffledSubarray<LayerKind>(["conv", "attention", ...more], { minLength: 2 + more.length }));

const moes: fc.Arbitrary<MoeConfig> = fc
  .record({
    expertsPerToken: size(3),
    idleExperts: fc.nat(2),
    expertSize: size(35),
    denseLayers: fc.nat(2),
    normalizeTopK: fc.boolean(),
    routedScale: fc.constantFrom(1, 0.75),
    expertBias: fc.boolean(),
  })
  .map(({ idleExperts, ...moe }) => ({ ...moe, expertCount: moe.expertsPerToken + idleExperts }));

const configs: fc.Arbitrary<ModelConfig> = fc
  .record({
    vocabSize: size(20),
    hiddenSize: size(70),
    layers: layerKinds,
    kvHeads: size(2),
    headsPerKvHead: size(3),
    // Heads of part of a group of the cache, and of more than one.
    halfHead: fc.oneof(size(6), fc.constantFrom(17, 24)),
    convWidth: size(4),
    convBias: fc.boolean(),
    feedForwardSize: size(40),
    ropeBase: fc.constantFrom(10000, 1e6),
    tied: fc.boolean(),
    moe: fc.option(moes),
  })
  .map(({ headsPerKvHead, halfHead, ...config }) => ({
    ...config,
    type: config.moe ? "lfm2_moe" : "lfm2",
    dtype: null,
    heads: config.kvHeads * headsPerKvHead,
    headSize: 2 * halfHead,
    normEpsilon: 1e-5,
    maxPositions: 64,
    tokens: { bos: null, eos: [], pad: null },
  }));

const requests = fc.array(
  fc.array(fc.record({ token: fc.nat(), slot: fc.nat(2), wantsLogits: fc.boolean() }), { minLength: 1, maxLength: 5 }),
  { minLength: 2, maxLength: 3 },
);

/** Models over all that releases differ in, and over what the importer does not write: windows, additions the other way round. */
export const randomModels: fc.Arbitrary<RandomModel> = fc
  .record({
    config: configs,
    layout: fc.constantFrom("separate" as const, "stacked" as const),
    seed: fc.integer(),
    window: fc.option(size(4)),
    swapped: fc.boolean(),
    requests,
  })
  .map(({ config, layout, seed, window, swapped, requests }) => {
    const vary = (node: Node): Node => {
      if (node.op === "attention") return { ...node, attributes: { ...node.attributes, window } };
      return node.op === "add" && swapped ? { ...node, inputs: node.inputs.toReversed() } : node;
    };
    const graph = buildGraph(config, layout);
    return {
      graph: { ...graph, nodes: graph.nodes.map(vary) },
      store: randomWeights(expectedTensors(config, layout), seed),
      calls: positioned(requests, config.vocabSize),
    };
  });

/** Gives each row the next position of its session. */
function positioned(requests: readonly (readonly Omit<Row, "position">[])[], vocabSize: number): readonly (readonly Row[])[] {
  const lengths = new Map<number, number>();
  return requests.map((call) =>
    call.map((row) => {
      const position = lengths.get(row.slot) ?? 0;
      lengths.set(row.slot, position + 1);
      return { ...row, token: row.token % vocabSize, position };
    }),
  );
}

/** The bits of every value of every call, by "call/value", under the numeric contract. */
export async function allBits(graph: Graph, { store, calls }: RandomModel): Promise<ReadonlyMap<string, readonly number[]>> {
  const interpreter = await createInterpreter(graph, (constant) => readConstant(store, constant), "contract");
  const bits = new Map<string, readonly number[]>();
  calls.forEach((rows, call) => {
    interpreter.forward(rows, (name, tensor) => bits.set(`${call}/${name}`, bitsOf(tensor)));
  });
  return bits;
}

function bitsOf(tensor: Tensor): readonly number[] {
  switch (tensor.kind) {
    case "dense":
      return floatBits(tensor.data);
    case "index":
      return [...tensor.data];
    case "activations":
      return [...tensor.groups.q, ...floatBits(tensor.groups.scales)];
    case "weights":
      throw new Error("a node made weights");
  }
}

function floatBits(values: Float32Array): readonly number[] {
  return [...new Int32Array(values.slice().buffer)];
}
