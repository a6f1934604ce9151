/**
 * What logits say, as probabilities: natural logarithms in f64. This measures results and takes no part in them, so the engine's own
 * exponential and logarithm will do here.
 */

/** The probabilities that stand behind the logits of one position. */
export interface Distribution {
  /** [vocabulary]; not copied. */
  readonly logits: Float32Array;
  /** The likeliest token; of equals, the lowest. */
  readonly top: number;
  /** ln of the sum of exp(logit): a token's logarithmic probability is its logit less this. */
  readonly logSum: number;
}

/** The distribution of `logits` [vocabulary]; all of it is NaN where one of them is. */
export function distributionOf(logits: Float32Array): Distribution {
  let top = 0;
  let max = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] ?? NaN;
    if (logit > max) [top, max] = [token, logit];
  }
  let sum = 0;
  for (let token = 0; token < logits.length; token++) sum += Math.exp((logits[token] ?? NaN) - max);
  return { logits, top, logSum: max + Math.log(sum) };
}

/** ln of the probability of `token`, at most 0; NaN for a token outside the vocabulary. */
export function logProbability({ logits, logSum }: Distribution, token: number): number {
  return (logits[token] ?? NaN) - logSum;
}

/**
 * Kullback-Leibler divergence KL(reference || other) in nats: what is lost by taking `other` for `reference`. Both have the same
 * vocabulary. It is 0 for equal logits, and never less than that but for f64 rounding.
 */
export function divergence(reference: Distribution, other: Distribution): number {
  let sum = 0;
  for (let token = 0; token < reference.logits.length; token++) {
    const expected = logProbability(reference, token);
    sum += Math.exp(expected) * (expected - logProbability(other, token));
  }
  return sum;
}
