/** What the plan must know of a target, as plain data. */
import type { DotAtom } from "../kernel/atom.ts";
import type { VectorMachine } from "../kernel/vector-machine.ts";

export interface TargetFacts {
  /** Name of the code variant: `simd128`, … */
  readonly variant: string;
  /** Atoms that the target can run, best first. */
  readonly atoms: readonly DotAtom[];
  readonly vectors: VectorMachine;
  /** Where weights lie: in the module's memory, or in a space of their own. */
  readonly weights: "inside" | "apart";
  /** Whether threads share the steps of a program. */
  readonly threads: boolean;
}
