/**
 * Products with quantised weights take quantised activations: linear(x, W) -> linear(quantize(x), W), for W in groups. A value is
 * quantised once, where it is made, however many products read it; what needs all its bits (router, residual) keeps reading x.
 */
import { isGrouped } from "../graph/operands.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { productMatrices } from "./matrices.ts";
import type { Pass } from "./pass.ts";
import { input, Surroundings } from "./surroundings.ts";

export const quantizeActivations: Pass = {
  name: "quantize-activations",
  run(graph) {
    const around = new Surroundings(graph);
    const takers = new Set(graph.nodes.filter((node) => takesQuantized(node, around)));
    const names = new Map([...takers].map((node) => [input(node, "x"), around.freshName(`${input(node, "x")}.q8`)]));
    const nodes = graph.nodes.flatMap((node) => [takers.has(node) ? readingQuantized(node, names) : node, ...quantizeNodes(node, names)]);
    return { ...graph, nodes };
  },
};

/** Whether the node multiplies an f32 x by matrices that are all in groups. */
function takesQuantized(node: Node, around: Surroundings): boolean {
  const matrices = productMatrices(node);
  if (matrices.length === 0 || around.typeOf(input(node, "x")).encoding !== "f32") return false;
  return matrices.every((matrix) => isGrouped(around.typeOf(matrix).encoding));
}

/** The node with the quantised value for its x, the first input of every product. */
function readingQuantized(node: Node, names: ReadonlyMap<ValueName, ValueName>): Node {
  const inputs = node.inputs.map((value, i) => (i === 0 ? (names.get(value) ?? value) : value));
  return { ...node, inputs };
}

/** A quantize for each of the node's outputs that is wanted quantised. */
function quantizeNodes({ outputs }: Node, names: ReadonlyMap<ValueName, ValueName>): readonly Node[] {
  return outputs.flatMap((value) => {
    const name = names.get(value);
    return name === undefined ? [] : [{ op: "quantize", inputs: [value], outputs: [name], attributes: {} }];
  });
}
