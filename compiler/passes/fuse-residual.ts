/**
 * The addition behind a linear or a sum of experts becomes its epilogue:
 *   r + linear(x)  ->  linear(x, residual r), and the same for linear(x) + r and for experts.
 * Addition commutes in IEEE 754, so either side may be the linear. The fused node stands where the addition stood: r is there.
 */
import type { Node } from "../graph/types.ts";
import { rewriting } from "./rules.ts";
import { input } from "./surroundings.ts";

/** Ops whose epilogue can add. */
const hosts: readonly string[] = ["linear", "experts"];

export const fuseResidual = rewriting("fuse-residual", (add, around) => {
  if (add.op !== "add") return null;
  const [a, b] = [input(add, "a"), input(add, "b")];
  // Where both sides qualify, the second is the layer's own product and the first what it is added to.
  for (const [value, residual] of [[b, a] as const, [a, b] as const]) {
    const host = hosts.map((op) => around.producer(value, op)).find((node) => node !== null);
    if (host?.attributes.residual !== false || !around.usedOnce(value)) continue;
    const nodes: ReadonlyMap<Node, readonly Node[]> = new Map([
      [host, []],
      [add, [withResidual(host, residual, add)]],
    ]);
    return { nodes };
  }
  return null;
});

function withResidual(host: Node, residual: string, { outputs }: Node): Node {
  return { ...host, inputs: [...host.inputs, residual], outputs, attributes: { ...host.attributes, residual: true } };
}
