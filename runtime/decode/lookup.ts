/**
 * Prompt look-up: the guess is what followed the last few tokens when they stood in the session before (Saxena 2023, Prompt Lookup Decoding,
 * https://github.com/apoorvumang/prompt-lookup-decoding). Good where an answer repeats what it was asked about: code, summaries, lists.
 */
import { guessing } from "./guessing.ts";
import { NGrams } from "./n-grams.ts";

export const lookup = guessing(() => {
  const seen = new NGrams();
  let read = 0;
  return {
    guess: (tokens, most) => seen.follow(tokens, most),
    learn(tokens) {
      seen.learn(tokens, read);
      read = tokens.length;
    },
  };
});
