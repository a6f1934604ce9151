/**
 * experts: each row's chosen experts, weighed and summed in the order given (rising index), then the residual. An expert is
 * down * (silu(gate * x) * (up * x)); between its products the activations are quantised where x is. Of an expert's rows in gate_up,
 * 0 … I-1 are the gate's, I … 2I-1 the up projection's.
 * x [r, H] f32 or q8, experts i32 [r, K], weights [r, K], gate_up [E, 2I, H], down [E, H, I], residual [r, H] -> [r, H].
 */
import { activationType } from "../operands.ts";
import { activationRows, dense, quantized, rowCount, type Activation } from "../tensor.ts";
import { addElements } from "./elementwise.ts";
import { defineOp } from "./op.ts";
import { gated } from "./swiglu.ts";

export const experts = defineOp({
  name: "experts",
  attributes: (read) => ({ residual: read.flag("residual") }),
  operands: ({ residual }) => ["x", "experts", "weights", "gate_up", "down", ...(residual ? ["residual"] : [])],
  infer(types, { residual }) {
    const x = types.activation("x", { encodings: ["f32", "q8"] });
    const [count = 0, stacked = 0] = types.productWeight("gate_up", x, [null, null, x.width]);
    if (stacked % 2 !== 0) types.fail(`gate_up has ${stacked} rows an expert, expected an even number`);
    types.productWeight("down", x, [count, x.width, stacked / 2]);
    const chosen = types.activation("experts", { encodings: ["i32"] });
    types.activationBeside("experts", x, chosen.width, ["i32"]);
    types.activationBeside("weights", x, chosen.width);
    if (residual) types.activationBeside("residual", x, x.width);
    return [activationType(x.rows, x.width)];
  },
  evaluate({ arithmetic }, operands) {
    const f = arithmetic.round;
    const x = operands.activation("x");
    const gateUp = operands.weight("gate_up");
    const down = operands.weight("down");
    const [, width = 0, inner = 0] = down.shape;
    const chosen = operands.indices("experts");
    const weights = operands.dense("weights").data;
    const rows = rowCount(x.shape);
    const topK = chosen.data.length / Math.max(1, rows);
    const expertOutput = (row: Activation, expert: number): Float32Array => {
      const gates = arithmetic.product(row, gateUp, 2 * expert * inner, inner);
      const ups = arithmetic.product(row, gateUp, (2 * expert + 1) * inner, inner);
      const hidden = dense([1, inner], gated(arithmetic, gates, ups));
      return arithmetic.product(x.kind === "activations" ? quantized(hidden) : hidden, down, expert * width, width);
    };
    const out = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const input = activationRows(x, row, 1);
      const sum = out.subarray(row * width, (row + 1) * width);
      for (let i = row * topK; i < (row + 1) * topK; i++) {
        const y = expertOutput(input, chosen.data[i] ?? 0);
        const weight = weights[i] ?? 0;
        for (let d = 0; d < width; d++) sum[d] = (sum[d] ?? 0) + f(weight * (y[d] ?? 0));
      }
    }
    const residual = operands.optional("residual");
    if (residual) addElements(out, residual);
    return [dense([rows, width], out)];
  },
});
