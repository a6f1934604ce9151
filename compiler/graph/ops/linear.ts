/** linear: y = x * weight^T, then bias, then residual. x [r, K] f32 or q8, weight [N, K], bias [N], residual [r, N] -> [r, N]. */
import { activationType } from "../operands.ts";
import { dense, rowCount } from "../tensor.ts";
import { addBias, addElements } from "./elementwise.ts";
import { defineOp } from "./op.ts";

export const linear = defineOp({
  name: "linear",
  attributes: (read) => ({ bias: read.flag("bias"), residual: read.flag("residual") }),
  operands: ({ bias, residual }) => ["x", "weight", ...(bias ? ["bias"] : []), ...(residual ? ["residual"] : [])],
  infer(types, { bias, residual }) {
    const x = types.activation("x", { encodings: ["f32", "q8"] });
    const [count = 0] = types.productWeight("weight", x, [null, x.width]);
    if (bias) types.weight("bias", [count]);
    if (residual) types.activationBeside("residual", x, count);
    return [activationType(x.rows, count)];
  },
  evaluate({ arithmetic }, operands) {
    const x = operands.activation("x");
    const weight = operands.weight("weight");
    const count = rowCount(weight.shape);
    const out = arithmetic.product(x, weight, 0, count);
    const bias = operands.optional("bias");
    const residual = operands.optional("residual");
    if (bias) addBias(out, bias);
    if (residual) addElements(out, residual);
    return [dense([rowCount(x.shape), count], out)];
  },
});
