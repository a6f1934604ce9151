/**
 * Several tokens a forward pass, and the same ones: guesses are evaluated together with the last known token. What the model computes after a token
 * is exact where every guess up to there was right, so one pass gives the next token, and one more for each right guess. What was evaluated for
 * wrong guesses is rewound. Picks depend on nothing but the outcome, the tokens and the position, so that sampling with a seed stays the same too.
 */
import type { Outcome } from "../engine.ts";
import type { Choice } from "../pick.ts";
import type { Decoder, Decoding } from "./decoder.ts";
import { greedy } from "./greedy.ts";

/** Where guesses come from. */
export interface Guesser {
  /** At most `most` tokens that may come after `tokens`. */
  guess(tokens: readonly number[], most: number): readonly number[];
  /**
   * What came of a guess: the tokens known by now, and on demand what the model would say after each of the guesses from the first wrong one on, if
   * they were right.
   */
  learn(tokens: readonly number[], doubtful: () => readonly number[]): void;
}

/**
 * Guesses after a window in which `right` were right. Each costs a row: where the last ones were wrong fewer are made, where all were right more.
 */
function reachAfter(right: number): number {
  return 2 * right + 5;
}

/** A decoder that has its guesses from what `begin` makes for each generation. */
export function guessing(begin: () => Guesser): Decoder {
  return (decoding) => {
    const guesser = begin();
    const single = greedy(decoding);
    let reach = decoding.window - 1;
    return async (most) => {
      const { timeline, window } = decoding;
      // A prompt is read without guesses: there is more to learn from it than to guess.
      const guesses = timeline.pending > 1 ? [] : guesser.guess(timeline.tokens, Math.min(window - 1, most - 1, reach));
      if (guesses.length > 0) {
        const found = await verify(decoding, guesser, guesses);
        reach = reachAfter(found.length - 1);
        return found;
      }
      const choices = await single(most);
      guesser.learn(timeline.tokens, () => []);
      return choices;
    };
  };
}

/** Evaluates the session's last token and `guesses` after it; returns the tokens that are certain then, appended to the timeline. */
async function verify(decoding: Decoding, guesser: Guesser, guesses: readonly number[]): Promise<readonly Choice[]> {
  const { timeline, queue, presume, chunk } = decoding;
  const known = [...timeline.tokens];
  timeline.append(guesses);
  let outcomes: readonly Outcome[] = [];
  let found: readonly Choice[] = [];
  try {
    outcomes = await queue.step(timeline, chunk, guesses.length + 1);
    found = pickWhileRight(decoding, outcomes, known, guesses);
  } finally {
    timeline.rewind(known.length + Math.max(0, found.length - 1));
  }
  timeline.append(found.slice(-1).map(({ token }) => token));
  guesser.learn(timeline.tokens, () =>
    outcomes.slice(found.length).map((outcome, i) => presume(outcome, [...known, ...guesses.slice(0, found.length + i)])),
  );
  return found;
}

/** Picks up to the first that is not what was guessed, or ends the text. */
function pickWhileRight(
  { pick, eos }: Decoding,
  outcomes: readonly Outcome[],
  known: readonly number[],
  guesses: readonly number[],
): readonly Choice[] {
  const found: Choice[] = [];
  for (const outcome of outcomes) {
    try {
      found.push(pick(outcome, [...known, ...guesses.slice(0, found.length)]));
    } catch (error) {
      // A pick that fails does so when its turn comes, not before: the tokens before it are shown.
      if (found.length === 0) throw error;
      break;
    }
    const token = found.at(-1)?.token;
    if (token === undefined || token !== guesses[found.length - 1] || eos.includes(token)) break;
  }
  return found;
}
