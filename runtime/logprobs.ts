/** How likely tokens were, by the raw logits: before any bias, penalty or temperature. For people to read, no part of sampling. */
import { exp } from "./exp.ts";

/** Natural logarithms of probabilities. */
export interface TokenLogprob {
  readonly logprob: number;
  /** The likeliest tokens, ties to the lower id. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/** The log-probability of `token`, and the `top` likeliest tokens with theirs. */
export function logprobsOf(logits: Float32Array, token: number, top: number): TokenLogprob {
  let highest = -Infinity;
  for (const logit of logits) highest = Math.max(highest, logit);
  let sum = 0;
  for (const logit of logits) sum += exp(Math.fround(logit - highest));
  const logprob = (id: number): number => Math.fround((logits[id] ?? 0) - highest - Math.log(sum));
  const ids = Array.from(logits.keys()).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b);
  return { logprob: logprob(token), top: ids.slice(0, top).map((id) => ({ token: id, logprob: logprob(id) })) };
}
