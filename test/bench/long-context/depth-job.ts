/** Decoding at several depths in a process of its own: what is asked of it, and what it answers. */
import { inFreshProcess } from "../../../compiler/bench/fresh-process.ts";
import type { ModelPlace } from "../../../compiler/bench/measurement.ts";

/** Fewer undisturbed samples are too few. */
export const leastAlone = 3;

export interface DepthJob extends ModelPlace {
  /** Positions in the cache when the last token of a sample is decoded, rising. */
  readonly depths: readonly number[];
  /** Whether the tokens before are read, which takes long, instead of made up. */
  readonly readsPrompt: boolean;
  /** A sample is as many tokens as take so long, but no more than 32. */
  readonly sampleSeconds: number;
}

/** What decoding took at one depth. */
export interface DepthFigure {
  readonly depth: number;
  /** Median seconds of a token, of the samples that nobody disturbed; of all where there are too few. */
  readonly seconds: number;
  /** Distance of the quartiles over the median. */
  readonly spread: number;
  /** Samples during which nobody else used the machine. */
  readonly aloneCount: number;
  /** Largest resident set of the process until then. */
  readonly peakBytes: number;
}

/** Whether a time tells what the model takes, and not what others left of the machine. */
export function isUndisturbed({ aloneCount }: DepthFigure): boolean {
  return aloneCount >= leastAlone;
}

/** Runs the job; `onDepth` hears of each depth once it was measured. Throws what `load` of the runtime throws. */
export async function measureDepths(job: DepthJob, onDepth: (figure: DepthFigure) => void): Promise<readonly DepthFigure[]> {
  return await inFreshProcess(new URL("./depth-process.ts", import.meta.url), job, isFigure, { onMessage: onDepth });
}

/** Only our own entry file sends messages. */
function isFigure(value: unknown): value is DepthFigure {
  return typeof value === "object" && value !== null && "depth" in value;
}
