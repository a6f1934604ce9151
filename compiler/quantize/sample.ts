/** Text for models that come with none: tokens that a model writes itself, at temperature 1, the same ones everywhere. */
import { required } from "../errors.ts";
import { SessionState } from "../graph/state.ts";
import { lastAxis } from "../graph/tensor.ts";
import { exp } from "../numeric/exp.ts";
import type { OnProgress } from "./calibrate.ts";
import { denseData, evaluate, type DenseModel } from "./dense-model.ts";
import { mix } from "../numeric/mix.ts";

/** Windows that are written side by side, a row of a call each. */
const windowsAtOnce = 8;
const seed = 0x6c666d63;

/** `count` windows of `length` tokens, each beginning with `first`. */
export function sampleWindows(
  model: DenseModel,
  first: number,
  count: number,
  length: number,
  onProgress?: OnProgress,
): readonly (readonly number[])[] {
  const windows: number[][] = Array.from({ length: count }, () => [first]);
  for (let start = 0; start < count; start += windowsAtOnce) {
    const group = windows.slice(start, start + windowsAtOnce);
    const state = new SessionState();
    for (let position = 0; position + 1 < length; position++) {
      const rows = group.map((window, slot) => ({ token: required(window[position], "token"), slot, position, wantsLogits: true }));
      const output = required(evaluate(model, rows, state).get(model.graph.output), "logits");
      const width = lastAxis(output.shape);
      group.forEach((window, i) => {
        window.push(pick(denseData(output).subarray(i * width, (i + 1) * width), uniform(start + i, position)));
      });
      onProgress?.({ stage: "sampling", done: start * length + group.length * (position + 2), total: count * length });
    }
  }
  return windows;
}

/** The token at which the chances, summed from the first token on, reach `share` of their sum. */
function pick(logits: Float32Array, share: number): number {
  let most = -Infinity;
  for (const logit of logits) most = Math.max(most, logit);
  const chances = logits.map((logit) => exp(Math.fround(logit - most)));
  let left = share * chances.reduce((sum, chance) => sum + chance, 0);
  const found = chances.findIndex((chance) => (left -= chance) < 0);
  return found < 0 ? logits.length - 1 : found;
}

/** A number in [0, 1) that depends on the window and the position alone. */
function uniform(window: number, position: number): number {
  return (mix(mix(mix(seed) ^ window) ^ position) >>> 8) * 2 ** -24;
}
