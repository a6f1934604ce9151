/**
 * gated-short-conv: the projection to B, C, X and short-conv in one. x [rows, K] f32 or q8, weight [3H, K], projection bias [3H],
 * taps [H, width], bias [H] -> [rows, H]; both biases or neither.
 */
import { activationType } from "../operands.ts";
import { dense, lastAxis, rowCount } from "../tensor.ts";
import { addBias } from "./elementwise.ts";
import { defineOp } from "./op.ts";
import { convolve } from "./short-conv.ts";

export const gatedShortConv = defineOp({
  name: "gated-short-conv",
  attributes: (read) => ({ width: read.count("width"), state: read.index("state"), bias: read.flag("bias") }),
  operands: ({ bias }) => (bias ? ["x", "weight", "projectionBias", "taps", "bias"] : ["x", "weight", "taps"]),
  infer(types, { width, bias }) {
    const x = types.activation("x", { encodings: ["f32", "q8"] });
    if (x.rows !== "rows") types.fail("x must hold all rows");
    const [channels = 0] = types.weight("taps", [null, width]);
    types.productWeight("weight", x, [3 * channels, x.width]);
    if (bias) {
      types.weight("projectionBias", [3 * channels]);
      types.weight("bias", [channels]);
    }
    return [activationType("rows", channels)];
  },
  evaluate(context, operands, { state }) {
    const weight = operands.weight("weight");
    const taps = operands.dense("taps");
    const z = context.arithmetic.product(operands.activation("x"), weight, 0, rowCount(weight.shape));
    const projectionBias = operands.optional("projectionBias");
    if (projectionBias) addBias(z, projectionBias);
    const out = convolve(context, { z, taps: taps.data, bias: operands.optional("bias"), width: lastAxis(taps.shape), state });
    return [dense([context.rows.length, rowCount(taps.shape)], out)];
  },
});
