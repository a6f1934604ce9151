/** slice: elements `offset … offset + size - 1` of each row. x [r, M] -> [r, size]. */
import { activationType } from "../operands.ts";
import { dense, rowCount } from "../tensor.ts";
import { columnsOf } from "./elementwise.ts";
import { defineOp } from "./op.ts";

export const slice = defineOp({
  name: "slice",
  attributes: (read) => ({ offset: read.index("offset"), size: read.count("size") }),
  operands: () => ["x"],
  infer(types, { offset, size }) {
    const x = types.activation("x");
    if (offset + size > x.width) types.fail(`elements ${offset} to ${offset + size - 1} of a row of ${x.width}`);
    return [activationType(x.rows, size)];
  },
  evaluate(_context, operands, { offset, size }) {
    const x = operands.dense("x");
    return [dense([rowCount(x.shape), size], columnsOf(x, offset, size))];
  },
});
