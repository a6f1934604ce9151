/** What the plan must know of a target, as plain data. */
import type { DotAtom } from "../kernel/atom.ts";

export interface TargetFacts {
  /** Name of the code variant: `simd128`, … */
  readonly variant: string;
  /** Atoms that the target can run, best first. */
  readonly atoms: readonly DotAtom[];
  /** Bytes of a vector register, for the cost formula. */
  readonly vectorBytes: number;
}
