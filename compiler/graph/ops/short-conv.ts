/**
 * short-conv: LFM2's gated short convolution between its projections. With B, C, X the thirds of z: s = B * X, y = the causal
 * depthwise convolution of s over `width` positions (oldest tap first, then bias), result C * y. The state is s by position.
 * z [rows, 3H], taps [H, width], bias [H] -> [rows, H].
 */
import { activationType } from "../operands.ts";
import { dense, lastAxis, rowCount } from "../tensor.ts";
import { defineOp, type EvaluationContext } from "./op.ts";

export const shortConv = defineOp({
  name: "short-conv",
  attributes: (read) => ({ width: read.count("width"), state: read.index("state"), bias: read.flag("bias") }),
  operands: ({ bias }) => ["z", "taps", ...(bias ? ["bias"] : [])],
  infer(types, { width, bias }) {
    const z = types.activation("z");
    if (z.rows !== "rows") types.fail("z must hold all rows");
    const [channels = 0] = types.weight("taps", [null, width]);
    types.activation("z", { width: 3 * channels });
    if (bias) types.weight("bias", [channels]);
    return [activationType("rows", channels)];
  },
  evaluate(context, operands, { state }) {
    const { data } = operands.dense("z");
    const taps = operands.dense("taps");
    const out = convolve(context, { z: data, taps: taps.data, bias: operands.optional("bias"), width: lastAxis(taps.shape), state });
    return [dense([context.rows.length, rowCount(taps.shape)], out)];
  },
});

export interface Convolution {
  /** [rows, 3H] */
  readonly z: Float32Array;
  /** [H, width] */
  readonly taps: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly width: number;
  readonly state: number;
}

/** Appends s of all rows to their sessions' histories, then convolves: [rows, H]. */
export function convolve({ arithmetic, rows, state }: EvaluationContext, convolution: Convolution): Float32Array {
  const { z, taps, bias, width } = convolution;
  const f = arithmetic.round;
  const channels = taps.length / width;
  const history = (slot: number) => state.history(convolution.state, slot, "conv", channels);
  rows.forEach(({ slot, position }, row) => {
    const at = (third: number, channel: number): number => z[(row * 3 + third) * channels + channel] ?? 0;
    history(slot).write(
      position,
      Float32Array.from({ length: channels }, (_, channel) => at(0, channel) * at(2, channel)),
    );
  });
  const out = new Float32Array(rows.length * channels);
  rows.forEach(({ slot, position }, row) => {
    const { data } = history(slot);
    for (let channel = 0; channel < channels; channel++) {
      let y = 0;
      for (let tap = 0; tap < width; tap++) {
        const past = position - (width - 1) + tap;
        const s = past < 0 ? 0 : (data[past * channels + channel] ?? 0);
        y = f(y + f((taps[channel * width + tap] ?? 0) * s));
      }
      if (bias) y = f(y + (bias[channel] ?? 0));
      out[row * channels + channel] = (z[(row * 3 + 1) * channels + channel] ?? 0) * y;
    }
  });
  return out;
}
