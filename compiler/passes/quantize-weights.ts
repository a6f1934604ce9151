/**
 * Matrices are stored in fewer bits: W f32 -> W in the encoding chosen for it. Norms, biases, taps and the router's gate stay f32.
 * The graph only says so; packing does it.
 */
import type { Constant, WeightEncoding } from "../graph/types.ts";
import { matricesOf } from "./matrices.ts";
import type { Pass } from "./pass.ts";

/** Chooses the encoding of a matrix; its `sources` name the checkpoint's tensors. */
export type EncodingChoice = (matrix: Constant) => WeightEncoding;

/** The pass that gives every matrix the encoding chosen for it. */
export function quantizeWeights(encodingOf: EncodingChoice): Pass {
  return {
    name: "quantize-weights",
    run(graph) {
      const matrices = matricesOf(graph);
      const constants = graph.constants.map((constant) =>
        matrices.has(constant.name) ? { ...constant, type: { ...constant.type, encoding: encodingOf(constant) } } : constant,
      );
      return { ...graph, constants };
    },
  };
}
