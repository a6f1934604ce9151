/**
 * Jacobi decoding: a window of guesses is evaluated at once, and what the model says after each becomes the next guess, until it repeats itself: the
 * fixed point is what one token at a time gives. Tokens that are right before their predecessors are (stationary tokens) stay in the window (Kou et al.
 * 2024, CLLMs, https://arxiv.org/abs/2403.00835). Where the last known tokens stood in the session before, a pool of its n-grams makes the first
 * guesses (after Fu et al. 2024, Lookahead Decoding, https://arxiv.org/abs/2402.02057).
 */
import { guessing } from "./guessing.ts";
import { NGrams } from "./n-grams.ts";

/** Tokens that must agree before the pool is trusted more than the model's own guess. */
const trusted = 2;

export const jacobi = guessing(() => {
  const pool = new NGrams();
  let read = 0;
  /** What the model said last about the tokens to come. */
  let window: readonly number[] = [];
  return {
    guess(tokens, most) {
      const known = pool.follow(tokens, most, trusted);
      const guess = [...known, ...window.slice(known.length, most)];
      const last = guess.at(-1) ?? tokens.at(-1) ?? 0;
      return [...guess, ...Array.from({ length: most - guess.length }, () => last)];
    },
    learn(tokens, doubtful) {
      window = doubtful();
      pool.learn(tokens, read);
      read = tokens.length;
    },
  };
});
