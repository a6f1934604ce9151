/**
 * gated-linear: two linears and swiglu in one. Rows 0 … F-1 of the weight are the gate's, F … 2F-1 the up projection's.
 * x [r, K] f32 or q8, weight [2F, K] -> [r, F].
 */
import { activationType } from "../operands.ts";
import { dense, rowCount } from "../tensor.ts";
import { defineOp, noAttributes } from "./op.ts";
import { gated } from "./swiglu.ts";

export const gatedLinear = defineOp({
  name: "gated-linear",
  attributes: noAttributes,
  operands: () => ["x", "weight"],
  infer(types) {
    const x = types.activation("x", { encodings: ["f32", "q8"] });
    const [count = 0] = types.productWeight("weight", x, [null, x.width]);
    if (count % 2 !== 0) types.fail(`weight has ${count} rows, expected an even number`);
    return [activationType(x.rows, count / 2)];
  },
  evaluate({ arithmetic }, operands) {
    const x = operands.activation("x");
    const weight = operands.weight("weight");
    const width = rowCount(weight.shape) / 2;
    const gate = arithmetic.product(x, weight, 0, width);
    const up = arithmetic.product(x, weight, width, width);
    return [dense([rowCount(x.shape), width], gated(arithmetic, gate, up))];
  },
});
