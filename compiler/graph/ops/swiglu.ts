/** swiglu: silu(gate) * up, elementwise. gate [r, F], up [r, F] -> [r, F]. */
import type { Arithmetic } from "../arithmetic/arithmetic.ts";
import { activationType } from "../operands.ts";
import { dense } from "../tensor.ts";
import { defineOp, noAttributes } from "./op.ts";

export const swiglu = defineOp({
  name: "swiglu",
  attributes: noAttributes,
  operands: () => ["gate", "up"],
  infer(types) {
    const gate = types.activation("gate");
    types.activationBeside("up", gate, gate.width);
    return [activationType(gate.rows, gate.width)];
  },
  evaluate({ arithmetic }, operands) {
    const gate = operands.dense("gate");
    return [dense(gate.shape, gated(arithmetic, gate.data, operands.dense("up").data))];
  },
});

/** silu(gate[i]) * up[i]. */
export function gated({ silu }: Arithmetic, gate: Float32Array, up: Float32Array): Float32Array {
  return gate.map((value, i) => silu(value) * (up[i] ?? 0));
}
