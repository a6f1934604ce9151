/**
 * From what a forward call computed to a token: the constraint's mask, the sampler or the likeliest token, and how likely it was. A pick depends on
 * the outcome and the tokens before it alone, so that guessing decoders may pick ahead and go back.
 */
import { type Constraint, masked } from "./constraint.ts";
import type { Outcome } from "./engine.ts";
import { type TokenLogprob, logprobsOf } from "./logprobs.ts";
import type { Sampler } from "./sampler.ts";

/** A token and, where asked for, how likely it was. */
export interface Choice {
  readonly token: number;
  readonly logprob: TokenLogprob | undefined;
}

/** Picks the token that follows `tokens`. */
export type PickToken = (outcome: Outcome, tokens: readonly number[]) => Choice;

/** Says what may follow `tokens`, which may themselves be wrong guesses: no constraint is asked. */
export type Presume = (outcome: Outcome, tokens: readonly number[]) => number;

export interface PickSettings {
  readonly sample: Sampler;
  /** Whether the sampler is the caller's own, which nobody but its turn may call: it may remember what it has seen. */
  readonly isForeign: boolean;
  /** Whether the sampler takes the largest logit, which the module knows by itself. */
  readonly takesLikeliest: boolean;
  readonly constrain: Constraint | null;
  /** Alternatives to tell with each token; null tells nothing, 0 only how likely the token was. */
  readonly logprobs: number | null;
  /** Length of the session at the generation's start: a constraint is asked about the tokens after it. */
  readonly start: number;
}

/** How a generation picks its tokens. */
export function createPick({ sample, isForeign, takesLikeliest, constrain, logprobs, start }: PickSettings): {
  readonly pick: PickToken;
  readonly presume: Presume;
} {
  const choose = (outcome: Outcome, tokens: readonly number[]): number =>
    takesLikeliest ? outcome.likeliest : sample(outcome.logits, tokens);
  const presume: Presume = (outcome, tokens) => (isForeign ? outcome.likeliest : choose(outcome, tokens));
  const pick: PickToken = (outcome, tokens) => {
    const mask = constrain?.(tokens.slice(start)) ?? null;
    const token = mask ? sample(masked(outcome.logits, mask), tokens) : choose(outcome, tokens);
    return { token, logprob: logprobs === null ? undefined : logprobsOf(outcome.logits, token, logprobs) };
  };
  return { pick, presume };
}
