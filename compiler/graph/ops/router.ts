/**
 * router: which experts a row goes to, and with what weight. p = sigmoid(x * gate^T); the `topK` experts with the largest
 * p + bias are chosen (ties: the lower index), listed in rising index; their weight is p, over (the sum + 1e-6) where
 * `normalize` is set, times `scale`. x [r, H], gate [E, H], bias [E] -> experts i32 [r, topK], weights f32 [r, topK].
 */
import { activationType } from "../operands.ts";
import { dense, rowCount } from "../tensor.ts";
import { defineOp } from "./op.ts";

/** Added to the sum that normalises the weights. */
export const routerEpsilon = Math.fround(1e-6);

export const router = defineOp({
  name: "router",
  attributes: (read) => ({
    expertCount: read.count("expertCount"),
    topK: read.count("topK"),
    normalize: read.flag("normalize"),
    scale: read.number("scale"),
    bias: read.flag("bias"),
  }),
  operands: ({ bias }) => ["x", "gate", ...(bias ? ["bias"] : [])],
  infer(types, { expertCount, topK, bias }) {
    const x = types.activation("x");
    types.weight("gate", [expertCount, x.width]);
    if (bias) types.weight("bias", [expertCount]);
    if (topK > expertCount) types.fail(`topK ${topK} of ${expertCount} experts`);
    return [activationType(x.rows, topK, "i32"), activationType(x.rows, topK)];
  },
  evaluate({ arithmetic }, operands, { expertCount, topK, normalize, scale }) {
    const { round: f, sigmoid } = arithmetic;
    const x = operands.dense("x");
    const rows = rowCount(x.shape);
    const gates = arithmetic.product(x, operands.dense("gate"), 0, expertCount);
    const bias = operands.optional("bias");
    const experts = new Int32Array(rows * topK);
    const weights = new Float32Array(rows * topK);
    const factor = Math.fround(scale);
    for (let row = 0; row < rows; row++) {
      const p = Array.from(gates.subarray(row * expertCount, (row + 1) * expertCount), sigmoid);
      const chosen = largest(
        p.map((value, expert) => (bias ? f(value + (bias[expert] ?? 0)) : value)),
        topK,
      );
      const sum = chosen.reduce((total, expert) => f(total + (p[expert] ?? 0)), 0);
      const divisor = f(sum + routerEpsilon);
      chosen.forEach((expert, i) => {
        const weight = p[expert] ?? 0;
        experts[row * topK + i] = expert;
        weights[row * topK + i] = (normalize ? f(weight / divisor) : weight) * factor;
      });
    }
    return [{ kind: "index", shape: [rows, topK], data: experts }, dense([rows, topK], weights)];
  },
});

/** Indices of the `count` largest values, the lower index first among equals, returned in rising order. */
function largest(values: readonly number[], count: number): readonly number[] {
  const order = values.map((value, index) => ({ value, index })).sort((a, b) => b.value - a.value || a.index - b.index);
  return order
    .slice(0, count)
    .map(({ index }) => index)
    .sort((a, b) => a - b);
}
