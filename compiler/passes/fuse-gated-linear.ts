/**
 * The two projections of a gated feed-forward and their product become one:
 *   swiglu(x Wg^T, x Wu^T)  ->  gated-linear(x, [Wg; Wu]).
 * One read of x, and neither projection is ever stored.
 */
import { rewriting } from "./rules.ts";
import { plainLinear, stackLinears } from "./stack-rows.ts";
import { input } from "./surroundings.ts";

export const fuseGatedLinear = rewriting("fuse-gated-linear", (swiglu, around) => {
  if (swiglu.op !== "swiglu") return null;
  const gate = plainLinear(input(swiglu, "gate"), around);
  const up = plainLinear(input(swiglu, "up"), around);
  if (!gate || !up || ![gate, up].every(({ outputs }) => outputs.every((value) => around.usedOnce(value)))) return null;
  const stacked = stackLinears([gate, up], "gate_up_proj", around);
  if (!stacked) return null;
  const { x, weight, constants } = stacked;
  const fused = { op: "gated-linear", inputs: [x, weight.name], outputs: swiglu.outputs, attributes: {} };
  return {
    constants,
    nodes: new Map([
      [gate, []],
      [up, []],
      [swiglu, [fused]],
    ]),
  };
});
