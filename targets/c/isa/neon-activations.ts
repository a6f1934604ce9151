/**
 * How NEON atoms read activations: sixteen columns of a row at once, in one register of four runs. gcc makes no broadcasting load of a splat from
 * memory, but takes a lane of a register for an operand.
 */
import type { DotAtom, Place } from "../../../compiler/kernel/atom.ts";
import type { KernelBuilder } from "../../../compiler/kernel/builder.ts";
import { vector, type Value } from "../../../compiler/kernel/ir.ts";
import { runLength } from "../../../compiler/kernel/library/panels.ts";
import { registerBytes } from "./neon-registers.ts";

/** Rows of a panel whose runs fill a register, and runs of a row's activations that do. */
export const rowsPerRegister = registerBytes / runLength;
export const runsPerRegister = rowsPerRegister;

export const bytes = vector("i8", registerBytes);
/** One sum a row, or one run a lane. */
export const words = vector("i32", rowsPerRegister);

/** The activations of a step as a register of four runs. */
export function loadRuns(b: KernelBuilder, { pointer, index, offset }: Place): Value {
  return b.load(words, pointer, index, offset);
}

/** Four registers a row: each run the same for all rows of the panel. */
export const splatLoadedRuns: DotAtom["loadActivations"] = (b, places) =>
  places.flatMap((place) => {
    const all = loadRuns(b, place);
    return Array.from({ length: runsPerRegister }, (_, run) => {
      return b.bitcast(b.shuffle(all, new Array<number>(rowsPerRegister).fill(run)), bytes);
    });
  });
