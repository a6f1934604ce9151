/**
 * Dot atoms: what a target contributes to the matrix product. The skeleton (library/gemm) owns loops, blocking, tails, group
 * scales and the epilogue; an atom says how its instructions multiply one group of 32 for a few rows of a panel. The accumulator
 * belongs to the atom, because targets differ in its form: fixed WASM SIMD keeps pair sums and folds them once a group.
 */
import type { GroupFormatName } from "../numeric/weight-groups.ts";
import type { KernelBuilder } from "./builder.ts";
import type { Value } from "./ir.ts";

/** Values of an atom's own making. */
export type Registers = readonly Value[];

/** Where the operands of a step start: pointer + index + offset (bytes). */
export interface Place {
  readonly pointer: Value;
  readonly index: Value;
  readonly offset: number;
}

export interface DotAtom {
  /** Names the kernels that use it. */
  readonly name: string;
  readonly tile: {
    /** Rows of a panel that one accumulator covers; divides 16. */
    readonly n: number;
    /** Elements of k that one step covers; divides 32. */
    readonly k: number;
  };
  /** Numbers of rows (of activations) that a tile may have, largest useful first. */
  readonly rowsPerTile: readonly number[];
  /** The 8-bit activations of one row for one step: `k` bytes at the place. */
  loadActivations(b: KernelBuilder, place: Place): Registers;
  /** The values u of `n` rows for one step, from the place in a panel of each format (library/panels); the registers that `step` takes. */
  readonly loadWeights: Readonly<Record<GroupFormatName, (b: KernelBuilder, place: Place) => Registers>>;
  /** A zero accumulator. */
  init(b: KernelBuilder): Registers;
  /** accumulator + weights * activations. */
  step(b: KernelBuilder, accumulator: Registers, activations: Registers, weights: Registers): Registers;
  /** The exact sums of u * q as i32, one lane for each of `n` rows. */
  finish(b: KernelBuilder, accumulator: Registers): Value;
}
