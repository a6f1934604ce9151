/**
 * rope: rotary position embedding over whole heads, pairs (m, m + headSize/2), angle position * base^(-2m/headSize).
 * x [rows, heads * headSize] -> the same shape.
 */
import { activationType } from "../operands.ts";
import { dense, lastAxis } from "../tensor.ts";
import { defineOp } from "./op.ts";

export const rope = defineOp({
  name: "rope",
  attributes: (read) => ({ headSize: read.count("headSize"), base: read.positive("base") }),
  operands: () => ["x"],
  infer(types, { headSize }) {
    const x = types.activation("x");
    if (x.rows !== "rows") types.fail("x must hold all rows");
    if (headSize % 2 !== 0) types.fail(`headSize ${headSize} is odd`);
    if (x.width % headSize !== 0) types.fail(`x is ${x.width} wide, not a multiple of headSize ${headSize}`);
    return [activationType("rows", x.width)];
  },
  evaluate({ arithmetic, rows }, operands, { headSize, base }) {
    const f = arithmetic.round;
    const x = operands.dense("x");
    const width = lastAxis(x.shape);
    const half = headSize / 2;
    const out = new Float32Array(x.data.length);
    rows.forEach(({ position }, row) => {
      for (let m = 0; m < half; m++) {
        const { cos, sin } = arithmetic.ropeAngles(headSize, base, position, m);
        for (let low = row * width + m; low < (row + 1) * width; low += headSize) {
          const a = x.data[low] ?? 0;
          const b = x.data[low + half] ?? 0;
          out[low] = f(a * cos) - f(b * sin);
          out[low + half] = f(b * cos) + f(a * sin);
        }
      }
    });
    return [dense(x.shape, out)];
  },
});
