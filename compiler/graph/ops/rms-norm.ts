/**
 * rms-norm: y = x / sqrt(mean(x^2) + epsilon) * weight over each run of `width` elements of the last axis (a whole row, or one
 * head of it). x [r, N * width], weight [width] -> the same shape, f32, or q8 where `quantize` is set.
 */
import { activationType } from "../operands.ts";
import { dense, quantized } from "../tensor.ts";
import { defineOp } from "./op.ts";

export const rmsNorm = defineOp({
  name: "rms-norm",
  attributes: (read) => ({ epsilon: read.positive("epsilon"), width: read.count("width"), quantize: read.flag("quantize") }),
  operands: () => ["x", "weight"],
  infer(types, { width, quantize }) {
    const x = types.activation("x");
    if (x.width % width !== 0) types.fail(`x is ${x.width} wide, not a multiple of ${width}`);
    types.weight("weight", [width]);
    return [activationType(x.rows, x.width, quantize ? "q8" : "f32")];
  },
  evaluate({ arithmetic }, operands, { epsilon, width, quantize }) {
    const { round: f, sum } = arithmetic;
    const x = operands.dense("x");
    const weight = operands.dense("weight").data;
    const out = new Float32Array(x.data.length);
    const eps = Math.fround(epsilon);
    for (let start = 0; start < out.length; start += width) {
      const at = (i: number): number => x.data[start + i] ?? 0;
      const mean = f(sum(width, (i) => f(at(i) * at(i))) / width);
      const inverse = f(1 / f(Math.sqrt(f(mean + eps))));
      for (let i = 0; i < width; i++) out[start + i] = f(at(i) * inverse) * (weight[i] ?? 0);
    }
    const normalized = dense(x.shape, out);
    return [quantize ? quantized(normalized) : normalized];
  },
});
