/** quantize: activations to signed 8-bit groups of 32 (numeric/quantize). x f32 [r, K] -> q8 [r, K]. */
import { activationType } from "../operands.ts";
import { quantized } from "../tensor.ts";
import { defineOp, noAttributes } from "./op.ts";

export const quantize = defineOp({
  name: "quantize",
  attributes: noAttributes,
  operands: () => ["x"],
  infer(types) {
    const { rows, width } = types.activation("x");
    return [activationType(rows, width, "q8")];
  },
  evaluate: (_context, operands) => [quantized(operands.dense("x"))],
});
