/** Which operands hold the large matrices: those that `--quant` speaks of. Norms, biases, taps and the router's gate are not. */
import type { Graph, Node, ValueName } from "../graph/types.ts";
import { input } from "./surroundings.ts";

/** Of the ops that multiply x by a matrix, the operands that hold matrices. */
const products: Readonly<Record<string, readonly string[]>> = {
  linear: ["weight"],
  "gated-linear": ["weight"],
  "gated-short-conv": ["weight"],
  experts: ["gate_up", "down"],
};

/** The matrices that the node multiplies its x by; none where it does no such thing. */
export function productMatrices(node: Node): readonly ValueName[] {
  return (products[node.op] ?? []).map((operand) => input(node, operand));
}

/** All constants that serve as matrices or embedding tables, and as nothing else. */
export function matricesOf({ nodes }: Graph): ReadonlySet<ValueName> {
  const matrices = new Set<ValueName>();
  const others = new Set<ValueName>();
  for (const node of nodes) {
    const own = node.op === "embedding" ? node.inputs : productMatrices(node);
    for (const name of node.inputs) (own.includes(name) ? matrices : others).add(name);
  }
  return new Set([...matrices].filter((name) => !others.has(name)));
}
