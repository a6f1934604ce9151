/** A candidate on its way through the search: what was planned, foretold, measured, and measured again. */
import type { Genotype } from "./genes.ts";
import { isRefused, type BySite, type Candidate, type Measured, type Planned, type Predicted, type Refused } from "./types.ts";

/** A candidate that is to be measured. */
export interface Proposal {
  readonly genotype: Genotype;
  readonly candidate: Candidate;
  readonly planned: BySite<Planned | Refused>;
  /** By the models of then; null of the samples from which they are made. */
  readonly predicted: BySite<Predicted> | null;
}

/** One that was measured. */
export interface Entry extends Proposal {
  readonly measured: BySite<Measured | Refused>;
  /** Of candidates that stood on a front at the end. */
  readonly confirmed: BySite<Measured | Refused> | null;
}

/** What counts of an entry at a site: of two measurements the worse times; null where either is missing or was refused. */
export function figuresAt({ measured, confirmed }: Pick<Entry, "measured" | "confirmed">, site: number): Measured | null {
  const first = measured[site];
  if (first === undefined || isRefused(first)) return null;
  const second = confirmed === null ? first : confirmed[site];
  if (second === undefined || isRefused(second)) return null;
  return {
    ...first,
    decodeMs: Math.max(first.decodeMs, second.decodeMs),
    prefillMs: Math.max(first.prefillMs, second.prefillMs),
  };
}
