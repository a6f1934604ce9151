/**
 * How the next tokens come about: one a forward pass (greedy.ts), or several guessed and checked in one (guessing.ts). Every decoder gives the
 * same tokens as one at a time does; they differ only in how many forward passes that takes.
 */
import type { Choice, PickToken, Presume } from "../pick.ts";
import type { RowQueue } from "../row-queue.ts";
import type { Timeline } from "../timeline.ts";

/** What a decoder works on. */
export interface Decoding {
  readonly timeline: Timeline;
  readonly queue: RowQueue;
  readonly pick: PickToken;
  readonly presume: Presume;
  /** Tokens after which nothing is asked for. */
  readonly eos: readonly number[];
  /** Most rows in one forward call. */
  readonly chunk: number;
  /** Most tokens that one forward call can give: the last known token, and guesses after it. */
  readonly window: number;
}

/** Evaluates what is pending, picks at least one and at most `most` tokens, appends them to the timeline and returns them. */
export type NextTokens = (most: number) => Promise<readonly Choice[]>;

/** Begins to decode; what it learns on the way is kept until the generation ends. */
export type Decoder = (decoding: Decoding) => NextTokens;
