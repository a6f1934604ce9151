/**
 * How the next tokens come about: one a forward pass (greedy.ts), or several guessed and checked in one. Every decoder gives the
 * same tokens as one at a time does; they differ only in how many forward passes that takes.
 */
import type { Sampler } from "../sampler.ts";
import type { Timeline } from "../timeline.ts";

export interface DecodeLimits {
  /** Most tokens to give. */
  readonly most: number;
  /** Most rows in one forward call; the pending tokens fit. */
  readonly chunk: number;
}

/**
 * Evaluates what is pending, samples at least one and at most `most` tokens, appends them to the timeline and returns them. Without a sampler
 * each token is the likeliest, by the model's own choice.
 */
export type Decoder = (timeline: Timeline, sample: Sampler | null, limits: DecodeLimits) => readonly number[];
