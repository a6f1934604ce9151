/** add: a + b, elementwise. a [r, N], b [r, N] -> [r, N]. */
import { activationType } from "../operands.ts";
import { dense } from "../tensor.ts";
import { addElements } from "./elementwise.ts";
import { defineOp, noAttributes } from "./op.ts";

export const add = defineOp({
  name: "add",
  attributes: noAttributes,
  operands: () => ["a", "b"],
  infer(types) {
    const a = types.activation("a");
    types.activationBeside("b", a, a.width);
    return [activationType(a.rows, a.width)];
  },
  evaluate(_context, operands) {
    const a = operands.dense("a");
    const out = a.data.slice();
    addElements(out, operands.dense("b").data);
    return [dense(a.shape, out)];
  },
});
