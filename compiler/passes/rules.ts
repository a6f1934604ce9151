/**
 * The rewrite engine. A rule looks at one node and its surroundings and says which nodes and constants give way to which; the
 * engine applies rules until none matches. A rule must therefore not match what it made.
 */
import type { Constant, Graph, Node } from "../graph/types.ts";
import type { Pass } from "./pass.ts";
import { Surroundings } from "./surroundings.ts";

/** What stands in the place of each node and constant that gives way; an empty list where it only vanishes. */
export interface Rewrite {
  readonly nodes: ReadonlyMap<Node, readonly Node[]>;
  readonly constants?: ReadonlyMap<Constant, readonly Constant[]>;
}

/** Returns null where the node is not the root of the rule's pattern. */
export type Rule = (node: Node, around: Surroundings) => Rewrite | null;

/** The pass that applies one rule wherever it matches. */
export function rewriting(name: string, rule: Rule): Pass {
  return {
    name,
    run(graph) {
      let current = graph;
      for (;;) {
        const rewrite = firstMatch(current, rule);
        if (rewrite === null) return current;
        current = apply(current, rewrite);
      }
    },
  };
}

function firstMatch(graph: Graph, rule: Rule): Rewrite | null {
  const around = new Surroundings(graph);
  for (const node of graph.nodes) {
    const rewrite = rule(node, around);
    if (rewrite !== null) return rewrite;
  }
  return null;
}

function apply(graph: Graph, { nodes, constants }: Rewrite): Graph {
  return {
    ...graph,
    constants: graph.constants.flatMap((constant) => constants?.get(constant) ?? [constant]),
    nodes: graph.nodes.flatMap((node) => nodes.get(node) ?? [node]),
  };
}
