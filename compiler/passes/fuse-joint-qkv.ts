/**
 * The projections to queries, keys and values become one:
 *   q = x Wq^T, k = x Wk^T, v = x Wv^T  ->  qkv = x [Wq; Wk; Wv]^T and q, k, v = its slices.
 * One read of x, one kernel. The slices keep the names, so it does not matter who else reads q, k or v.
 */
import { required } from "../errors.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { rewriting, type Rewrite } from "./rules.ts";
import { plainLinear, stackLinears, type StackedLinears } from "./stack-rows.ts";
import { input, output, siblingName, type Surroundings } from "./surroundings.ts";

export const fuseJointQkv = rewriting("fuse-joint-qkv", (attention, around) => {
  if (attention.op !== "attention") return null;
  const linears = attention.inputs.flatMap((value) => projectionOf(value, around) ?? []);
  const stacked = linears.length === 3 ? stackLinears(linears, "qkv_proj", around) : null;
  return stacked && joined(linears, stacked, around);
});

/** The plain linear at the start of attention's q, k or v, behind rotation and norm. */
function projectionOf(value: ValueName, around: Surroundings): Node | null {
  const step = around.producer(value, "rope") ?? around.producer(value, "rms-norm");
  return step ? projectionOf(input(step, "x"), around) : plainLinear(value, around);
}

/** The joint linear and its slices stand where the earliest of the linears stood: all that they need is there. */
function joined(linears: readonly Node[], { x, weight, sizes, constants }: StackedLinears, around: Surroundings): Rewrite {
  const names = linears.map(output);
  const joint = around.freshName(siblingName(required(names[0], "q"), "qkv"));
  const product = { op: "linear", inputs: [x, weight.name], outputs: [joint], attributes: { bias: false, residual: false } };
  const slices = names.map((name, i) => {
    const offset = sizes.slice(0, i).reduce((sum, size) => sum + size, 0);
    return { op: "slice", inputs: [joint], outputs: [name], attributes: { offset, size: required(sizes[i], "size") } };
  });
  const earliest = around.earliest(linears);
  return { constants, nodes: new Map(linears.map((node) => [node, node === earliest ? [product, ...slices] : []])) };
}
