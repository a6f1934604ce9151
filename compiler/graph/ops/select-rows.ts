/** select-rows: the rows that want logits, in order. x [rows, H] -> [logits, H]. */
import { activationType } from "../operands.ts";
import { dense, lastAxis } from "../tensor.ts";
import { defineOp, noAttributes } from "./op.ts";

export const selectRows = defineOp({
  name: "select-rows",
  attributes: noAttributes,
  operands: () => ["x"],
  infer(types) {
    const x = types.activation("x");
    if (x.rows !== "rows") types.fail("x must hold all rows");
    return [activationType("logits", x.width)];
  },
  evaluate({ rows }, operands) {
    const { shape, data } = operands.dense("x");
    const width = lastAxis(shape);
    const selected = rows.flatMap(({ wantsLogits }, row) => (wantsLogits ? [row] : []));
    const out = new Float32Array(selected.length * width);
    selected.forEach((row, i) => {
      out.set(data.subarray(row * width, (row + 1) * width), i * width);
    });
    return [dense([selected.length, width], out)];
  },
});
