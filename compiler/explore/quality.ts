/**
 * How good a model of some architecture can get, as far as sizes tell. Scaling laws make loss fall with the weights that a model has and that a token
 * meets; embeddings count little (Kaplan et al. 2020). Of a mixture, the geometric mean of all weights and of those that a token meets stands between the
 * two. Weights of few bits are worth fewer: N * (1 - exp(-bits / 2.67)) (Kumar et al., Scaling Laws for Precision, 2024, for training at that precision).
 *
 * It says nothing of depth against width, of convolution against attention, of the cache's precision, of vocabulary, data or training: between candidates
 * of like capacity it decides nothing, and only --evaluate can.
 */
import { bytesPerWeight, sizesOf } from "./sizes.ts";
import type { BaseConfig, Candidate } from "./types.ts";

/** Bits within which weights lose most of their worth. */
const decayBits = 2.67;

/** Effective parameters, in millions. */
export function capacityOf(candidate: Candidate, base: BaseConfig): number {
  const { parameters, activeParameters, embedding } = sizesOf(candidate, base);
  const effective = Math.sqrt((parameters - embedding) * (activeParameters - embedding));
  return (effective * worth(candidate.quant)) / 1e6;
}

/** The share of its worth that a weight of this format keeps; its scale's bits count. */
function worth(quant: Candidate["quant"]): number {
  return 1 - Math.exp((-8 * bytesPerWeight[quant]) / decayBits);
}
