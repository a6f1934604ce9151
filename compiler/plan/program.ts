/**
 * The program: what a plan hands to a target. Kernels, the order in which they run with every address fixed, and the memory map.
 * Targets obey it; they make no choices.
 */
import type { Kernel } from "../kernel/ir.ts";

/** The count of rows of a call, or of those among them that want logits. */
export type RowCount = "rows" | "logits";

/** What an address counts from: the memory; the weights, where they lie apart from it; the running thread's own scratch. */
export type Space = "memory" | "weights" | "thread";

export type StepArgument =
  | { readonly kind: "address"; readonly space: Space; readonly address: number; readonly note: string }
  | { readonly kind: "count"; readonly of: RowCount }
  /** The first unit of the thread's share, or the one after its last. */
  | { readonly kind: "bound"; readonly of: "from" | "to" };

/** One kernel call; arguments in the order of the kernel's parameters. */
export interface Step {
  readonly kernel: string;
  /** The graph value that it computes, or chooses from. */
  readonly label: string;
  readonly arguments: readonly StepArgument[];
  /** Units of work that threads divide among them; null where one thread runs the step. */
  readonly units: number | RowCount | null;
}

/** A run of bytes in the module's memory. */
export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

/** A convolution's recent rows: that of position p is row p mod rows; a step reads `reads` rows before its own. */
export interface Ring {
  readonly offset: number;
  readonly rows: number;
  readonly rowBytes: number;
  readonly reads: number;
}

/** Room for the rings' `reads` rows before every `interval`th position. */
export interface Checkpoints extends Region {
  readonly interval: number;
}

/** A tenant of the scratch region, for reading the plan. */
export interface Placement extends Region {
  readonly name: string;
  /** Steps between which it must not be overwritten, both included. */
  readonly firstStep: number;
  readonly lastStep: number;
}

export interface MemoryPlan {
  /** The whole memory; without the weights where they lie apart, and without the threads' scratch. */
  readonly bytes: number;
  readonly rows: Region;
  /** In the memory, or in a space of its own. */
  readonly weights: Region;
  /** Scratch of each thread, outside of the memory; 0 for programs of one thread. */
  readonly threadBytes: number;
  /** Slots of a session's state. The places of rings and checkpoints are from a slot's start: `plan/state.ts`. */
  readonly state: Region & { readonly slotBytes: number; readonly rings: readonly Ring[]; readonly checkpoints: Checkpoints };
  readonly scratch: Region;
  readonly logits: Region & { readonly strideBytes: number };
  /** The likeliest token of each row of logits, one i32 a row. */
  readonly choices: Region;
  /** Where each value of the forward pass lies. */
  readonly placements: readonly Placement[];
}

export interface Limits {
  readonly context: number;
  readonly prefillChunk: number;
  readonly logitRows: number;
  readonly sessions: number;
  /** Positions by which a session can be rewound at no cost. */
  readonly rewind: number;
}

export interface Program {
  readonly name: string;
  /** Each kernel once, in the order of first use. */
  readonly kernels: readonly Kernel[];
  readonly steps: readonly Step[];
  readonly memory: MemoryPlan;
  readonly limits: Limits;
}
