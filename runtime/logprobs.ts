/** How likely tokens were, by the raw logits: before any bias, mask, penalty or temperature. For people to read, no part of sampling. */
import { LfmcError } from "./errors.ts";
import { exp } from "./exp.ts";
import { ranked } from "./ranking.ts";
import { argmax } from "./sampler.ts";

/** Natural logarithms of probabilities, rounded to binary32; -Infinity for what cannot come. */
export interface TokenLogprob {
  /** The chosen token's. */
  readonly logprob: number;
  /** The likeliest tokens, ties to the lower id. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/**
 * The log-probability of `token`, and the `top` likeliest tokens with theirs: the logit less the logarithm of the sum of all e^logit, which
 * is taken of the contract's exp in binary64, in the order of ids. Throws `run/input` where no logit is a number, or `token` has none.
 */
export function logprobsOf(logits: Float32Array, token: number, top: number): TokenLogprob {
  if (logits[token] === undefined)
    throw new LfmcError("run/input", `token ${token} is none of the vocabulary's ${logits.length}`, {
      subject: "logprobs",
      hint: "Sample token ids of the model's vocabulary.",
    });
  const highest = logits[argmax(logits)] ?? 0;
  let sum = 0;
  for (const logit of logits) sum += exp(Math.fround(logit - highest));
  const rest = Math.log(sum);
  const logprob = (id: number): number => Math.fround((logits[id] ?? 0) - highest - rest);
  const ids = top > 0 ? Array.from(ranked(logits, top)) : [];
  return { logprob: logprob(token), top: ids.slice(0, top).map((id) => ({ token: id, logprob: logprob(id) })) };
}
