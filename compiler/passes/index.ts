/** The passes between import and plan, in order. */
import type { KvFormat } from "../graph/kv-cache.ts";
import { deadValues } from "./dead-values.ts";
import { foldSlices } from "./fold-slices.ts";
import { fuseGatedLinear } from "./fuse-gated-linear.ts";
import { fuseJointQkv } from "./fuse-joint-qkv.ts";
import { fuseNormQuantize } from "./fuse-norm-quantize.ts";
import { fuseResidual } from "./fuse-residual.ts";
import { fuseShortConv } from "./fuse-short-conv.ts";
import { kvFormat } from "./kv-format.ts";
import type { Pass } from "./pass.ts";
import { quantizeActivations } from "./quantize-activations.ts";
import { quantizeWeights, type EncodingChoice } from "./quantize-weights.ts";

export { runPasses, type Pass } from "./pass.ts";
export type { KvFormat } from "../graph/kv-cache.ts";
export type { WeightEncoding } from "../graph/types.ts";
export type { EncodingChoice } from "./quantize-weights.ts";
export { chooseEncodings, freeMatrices, parseTensorType, weightFormats } from "./tensor-types.ts";
export type { ChosenEncodings, FormatRequest, TensorType, WeightFormat } from "./tensor-types.ts";

export interface PassOptions {
  /** Encoding of each matrix; `() => "q4_0"` for all alike. */
  readonly weights: EncodingChoice;
  /** What products with quantised weights read: 8-bit groups, or x as it is. */
  readonly activations: "q8" | "f32";
  readonly kv: KvFormat;
}

/** What every compilation runs. The quantize-* passes and kv-format define the logits' bits; all others keep them. */
export function standardPasses({ weights, activations, kv }: PassOptions): readonly Pass[] {
  return [
    // Before all that asks how often a value is read.
    deadValues,
    foldSlices,
    // While each matrix is still one tensor of the checkpoint: the stacking fusions then leave apart what is stored differently.
    quantizeWeights(weights),
    // The stacking fusions look for plain linears, so they come before residuals are drawn in.
    fuseJointQkv,
    fuseGatedLinear,
    fuseShortConv,
    // Last of the fusions of products: what it makes is no longer plain.
    fuseResidual,
    // After the fusions: it then sees each product once, in its final form.
    ...(activations === "q8" ? [quantizeActivations, fuseNormQuantize] : []),
    // Touches nothing that another pass reads, so its place is free.
    kvFormat(kv),
  ];
}
