/** What is measured: one piece of work, and what a contender's repetition of it gives. */
import * as v from "valibot";
import { firstPrompt } from "./prompt.ts";

export interface Work {
  readonly threads: number;
  /** Tokens of the prompt; unused below depth 0. */
  readonly prompt: number;
  /** Tokens that a sample decodes. */
  readonly decode: number;
  /** Tokens in the cache before the first decoded one. At 0 the first token and the prompt are measured too. */
  readonly depth: number;
  /** How often `decode` tokens are decoded, one sample after the other. */
  readonly samples: number;
}

const repetition = v.object({
  /** From the start of the process, in a browser of the page, to the answer's first token; null where the contender can't tell. */
  firstTokenSeconds: v.nullable(v.number()),
  /** Tokens a second. */
  prefill: v.nullable(v.number()),
  /** Tokens a second of each sample. */
  decode: v.array(v.number()),
});

/** One run of a contender in a process of its own. */
export type Repetition = v.InferOutput<typeof repetition>;

export interface Figures extends Repetition {
  /** The largest resident set of any of its processes. */
  readonly peakBytes: number;
}

/** What a child printed. Throws v.ValiError or SyntaxError where it is something else. */
export function parseRepetition(text: string): Repetition {
  return v.parse(repetition, JSON.parse(text));
}

/** The positions that `work` takes. */
export function contextOf({ prompt, decode, depth, samples }: Work): number {
  return Math.max(prompt, firstPrompt, depth + samples * (decode + 2));
}
