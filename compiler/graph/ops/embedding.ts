/** embedding: each row's token picks a row of the table. table [V, H] -> [rows, H]. */
import { LfmcError } from "../../errors.ts";
import { unscaledWeight } from "../../numeric/weight-groups.ts";
import { activationType, weightEncodings } from "../operands.ts";
import { dense, lastAxis, rowCount, type Weight } from "../tensor.ts";
import { defineOp, noAttributes } from "./op.ts";

export const embedding = defineOp({
  name: "embedding",
  attributes: noAttributes,
  operands: () => ["table"],
  infer(types) {
    const [, width = 0] = types.weight("table", [null, null], weightEncodings);
    return [activationType("rows", width)];
  },
  evaluate({ rows, arithmetic }, operands) {
    const table = operands.weight("table");
    const width = lastAxis(table.shape);
    const tokens = rowCount(table.shape);
    const out = new Float32Array(rows.length * width);
    rows.forEach(({ token }, row) => {
      if (!Number.isInteger(token) || token < 0 || token >= tokens) {
        throw new LfmcError("run/input", `token ${token} is not between 0 and ${tokens - 1}`, {
          subject: `row ${row}`,
          hint: "encode the text with this model's own tokenizer",
        });
      }
      copyRow(table, token, out.subarray(row * width, (row + 1) * width), arithmetic.round);
    });
    return [dense([rows.length, width], out)];
  },
});

/** Quantised rows: the weight times 2^-exponent. */
function copyRow(table: Weight, token: number, out: Float32Array, f: (x: number) => number): void {
  if (table.kind === "dense") {
    out.set(table.data.subarray(token * out.length, (token + 1) * out.length));
    return;
  }
  const { columns, exponent } = table.groups;
  for (let k = 0; k < out.length; k++) out[k] = unscaledWeight(table.groups, token * columns + k, f) * 2 ** -exponent;
}
