/** What a fuzz target is: input of one kind, and what lfmc does with it when a user gives it. */
import type { Random } from "./random.ts";

/** One file of a target's base that is not what it was; the others are as `prepare` wrote them. */
export interface Case {
  /** Its path below the base. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface Target {
  readonly name: string;
  /** Its part of a run's cases, against the other targets' shares: fewer where a case takes longer. */
  readonly share: number;
  /** Writes valid input into an empty folder, once for all processes. */
  prepare(base: string): Promise<void>;
  /** Opens a folder that was prepared, or a copy of it. */
  open(base: string): Promise<OpenTarget>;
}

export interface OpenTarget {
  /** A case that the numbers fix. */
  make(random: Random): Case;
  /** What a user's call does with the base, in which the case's file has been written. Refuses by an LfmcError. */
  run(one: Case): Promise<void>;
  /** The model to compile whole, of a case; null where cases are of no model. */
  model(one: Case): string | null;
  close(): Promise<void>;
}
