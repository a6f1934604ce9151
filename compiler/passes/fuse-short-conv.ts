/**
 * The input projection of the short convolution joins it:
 *   short-conv(x W^T + p, taps, b)  ->  gated-short-conv(x, W, p, taps, b).
 * The projection, three times as wide as the result, is never stored. Both biases are there, or neither.
 */
import { rewriting } from "./rules.ts";
import { input } from "./surroundings.ts";

export const fuseShortConv = rewriting("fuse-short-conv", (conv, around) => {
  if (conv.op !== "short-conv") return null;
  const z = input(conv, "z");
  const projection = around.producer(z, "linear");
  if (!projection || !around.usedOnce(z)) return null;
  const { bias, residual } = projection.attributes;
  if (residual !== false || bias !== conv.attributes.bias) return null;
  const [, ...convWeights] = conv.inputs;
  const fused = { ...conv, op: "gated-short-conv", inputs: [...projection.inputs, ...convWeights] };
  return {
    nodes: new Map([
      [projection, []],
      [conv, [fused]],
    ]),
  };
});
