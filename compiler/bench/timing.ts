/** Time as the benchmarks take it: wall clock, several samples, and one number of them. */
import { required } from "../errors.ts";

/** Seconds on a clock that only rises. */
export function now(): number {
  return performance.now() / 1000;
}

/** Seconds that `run` takes. */
export function secondsOf(run: () => void): number {
  const begin = now();
  run();
  return now() - begin;
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = required(sorted[middle], "samples");
  return sorted.length % 2 === 1 ? upper : (upper + required(sorted[middle - 1], "samples")) / 2;
}

export interface Patience {
  /** Samples to take at least, and at most. */
  readonly least: number;
  readonly most: number;
  /** Seconds after which no further sample is begun. */
  readonly seconds: number;
}

/** Takes samples until there are enough of them or the time is up. */
export function samplesOf<T>({ least, most, seconds }: Patience, sample: () => T): readonly T[] {
  const begin = now();
  const samples: T[] = [];
  while (samples.length < least || (samples.length < most && now() - begin < seconds)) samples.push(sample());
  return samples;
}

/** The same of samples that take their time beside other work. */
export async function samplesInTurn<T>({ least, most, seconds }: Patience, sample: () => Promise<T>): Promise<readonly T[]> {
  const begin = now();
  const samples: T[] = [];
  while (samples.length < least || (samples.length < most && now() - begin < seconds)) samples.push(await sample());
  return samples;
}
