/**
 * A norm whose result is only ever quantised gives it quantised: quantize(rms-norm(x, w)) -> rms-norm(x, w, quantize). The f32 result
 * is never stored. Only for norms of whole rows; one that something else reads too (the router) stays as it is.
 */
import { rewriting } from "./rules.ts";
import { input } from "./surroundings.ts";

export const fuseNormQuantize = rewriting("fuse-norm-quantize", (quantize, around) => {
  if (quantize.op !== "quantize") return null;
  const x = input(quantize, "x");
  const norm = around.producer(x, "rms-norm");
  if (!norm || !around.usedOnce(x) || norm.attributes.width !== around.typeOf(x).shape.at(-1)) return null;
  const fused = { ...norm, outputs: quantize.outputs, attributes: { ...norm.attributes, quantize: true } };
  return {
    nodes: new Map([
      [norm, [fused]],
      [quantize, []],
    ]),
  };
});
