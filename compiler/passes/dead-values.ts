/**
 * What nothing reads is neither computed nor stored: nodes and constants from which no path leads to the logits vanish. A session's
 * past counts as its node's own: no other node reads it (graph/verify), so it goes with the node.
 */
import type { Node, ValueName } from "../graph/types.ts";
import type { Pass } from "./pass.ts";

export const deadValues: Pass = {
  name: "dead-values",
  run(graph) {
    const live = new Set<ValueName>([graph.output]);
    // Backwards: all readers of a value stand behind the node that makes it.
    const kept = new Set<Node>();
    for (const node of graph.nodes.toReversed()) {
      if (!node.outputs.some((output) => live.has(output))) continue;
      kept.add(node);
      for (const input of node.inputs) live.add(input);
    }
    const nodes = graph.nodes.filter((node) => kept.has(node));
    return { ...graph, nodes, constants: graph.constants.filter(({ name }) => live.has(name)) };
  },
};
