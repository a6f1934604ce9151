/**
 * Jacobi decoding: a window of guesses is evaluated at once, and what the model says after each becomes the next guess, until it repeats itself: the
 * fixed point is what one token at a time gives. Tokens that are right before their predecessors are (stationary tokens) stay in the window, and a pool
 * of the n-grams that came up on the way makes the guesses after a known token (Kou et al. 2024, CLLMs, https://arxiv.org/abs/2403.00835; the pool
 * after Fu et al. 2024, Lookahead Decoding, https://arxiv.org/abs/2402.02057).
 */
import { guessing } from "./guessing.ts";
import { NGrams } from "./n-grams.ts";

export const jacobi = guessing(() => {
  const pool = new NGrams();
  let read = 0;
  /** What the model said last about the tokens to come. */
  let window: readonly number[] = [];
  return {
    guess(tokens, most) {
      const known = pool.follow(tokens, most, 2);
      const guess = [...known, ...window.slice(known.length, most)];
      const more = pool.follow([...tokens, ...guess], most - guess.length);
      const last = more.at(-1) ?? guess.at(-1) ?? tokens.at(-1) ?? 0;
      return [...guess, ...more, ...Array.from({ length: most - guess.length - more.length }, () => last)];
    },
    learn(tokens, doubtful) {
      window = doubtful();
      pool.learn([...tokens.slice(-1), ...window]);
      pool.learn(tokens, read);
      read = tokens.length;
    },
  };
});
