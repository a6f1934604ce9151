/**
 * Samples of a time on a machine that does other work too, now and then. A fixed piece of work is timed before and after each sample, by the clock and by
 * the processor time that it took; the samples between two fast ones are taken as calm, whatever they came to themselves, so that their median is
 * that of an undisturbed machine.
 */
import { now, type Patience } from "../bench/timing.ts";
import { required } from "../errors.ts";

/** What the fixed work took: the two differ where something else had the core. */
export interface Reference {
  readonly seconds: number;
  readonly processorSeconds: number;
}

export interface CalmSamples {
  /** Those that were calm, at least one; all where none was. */
  readonly samples: readonly number[];
  /** Of the fixed work, all in order: one more than samples were taken. */
  readonly references: readonly Reference[];
}

/** The fixed work is fast where the clock says at most so much of the processor time that it usually takes. */
export const fast = 1.1;

/** Takes samples until `least` of them are calm, or `most` are taken, or the time is up; `least` of them in any case. `reference` times the fixed work. */
export function calmSamples({ least, most, seconds }: Patience, sample: () => number, reference: () => Reference): CalmSamples {
  const begin = now();
  const samples: number[] = [];
  const references = [reference()];
  const isPatient = (): boolean => samples.length < most && now() - begin < seconds && calmAmong(samples, references).length < least;
  while (samples.length < least || isPatient()) {
    samples.push(sample());
    references.push(reference());
  }
  const calm = calmAmong(samples, references);
  return { samples: calm.length > 0 ? calm : samples, references };
}

function calmAmong(samples: readonly number[], references: readonly Reference[]): readonly number[] {
  const usual = quantile(
    references.map(({ processorSeconds }) => processorSeconds),
    0.25,
  );
  const isFast = (index: number): boolean => required(references[index], "reference").seconds <= fast * usual;
  return samples.filter((_, i) => isFast(i) && isFast(i + 1));
}

/** The sample that is nearest to a share of all, by size. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return required(sorted[Math.round(share * (sorted.length - 1))], "sample");
}
