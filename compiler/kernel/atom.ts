/**
 * Dot atoms: what a target contributes to the matrix product. The skeleton (library/gemm) owns loops, blocking, tails, group
 * scales and the epilogue; an atom says how its instructions multiply one group of 32 for a few rows of a panel. The accumulator
 * belongs to the atom, because targets differ in its form: fixed WASM SIMD keeps pair sums and folds them once a group.
 */
import { groupFormats, type GroupFormatName } from "../numeric/weight-groups.ts";
import type { KernelBuilder } from "./builder.ts";
import type { Value } from "./ir.ts";
import type { GroupNumbers } from "./library/group-numbers.ts";

/** Values of an atom's own making. */
export type Registers = readonly Value[];

/** Where the operands of a step start: pointer + index + offset (bytes). */
export interface Place {
  readonly pointer: Value;
  readonly index: Value;
  readonly offset: number;
}

/** What an atom tells formats apart by: nibbles are numbers below 16, however many bits they are stored in. */
export type NumberWidth = "nibbles" | "bytes";

/** The width of a format's numbers. */
export function widthOf(format: GroupFormatName): NumberWidth {
  return groupFormats[format].bits > 4 ? "bytes" : "nibbles";
}

/** How an atom multiplies weights of one width. */
export interface AtomFormat {
  /** Whether `load` gives u - offset in place of u: the sums then need no correction. */
  readonly isCentred: boolean;
  /** The weights of `n` rows for one step of a group, counted from 0; the registers that `step` takes. */
  load(b: KernelBuilder, numbers: GroupNumbers, step: number): Registers;
  /**
   * An accumulator whose sums start from `initial`, an i32 for each of `n` rows, where that costs nothing (m is 1); without it they start from
   * zero, and whoever finishes adds.
   */
  start?(b: KernelBuilder, initial: Value): Registers;
  /** accumulator + weights * activations; the first step of a group gets `start`'s registers, or none, which stand for zero. */
  step(b: KernelBuilder, accumulator: Registers, activations: Registers, weights: Registers): Registers;
  /** The exact sums as i32: for each of `m` rows of activations a vector with one lane for each of `n` rows of weights. */
  finish(b: KernelBuilder, accumulator: Registers): readonly Value[];
}

/** How a product goes through the rows of a call and the panels of a matrix. */
export interface TileShape {
  /** Rows of activations that are multiplied together, a multiple of m. The rows that fill no tile go one by one. */
  readonly rows: number;
  /**
   * Where a panel is unpacked first, once for all tiles (library/unpacked-product; m is 1): times n rows of it that are multiplied together, so
   * that sums, weights and activations fit the registers. null where tiles multiply straight from the packed panel.
   */
  readonly unpackedParts: number | null;
  /** Panels that a single row meets by turns (library/streamed-product); null where it goes through one panel after the other, as tiles do. */
  readonly streamedPanels: number | null;
}

/** Tiles of so many rows each, else of one form; those of a single row never meet an unpacked panel. */
export function tilesOf(
  rows: readonly number[],
  { unpackedParts = null, streamedPanels = null }: Partial<TileShape> = {},
): readonly TileShape[] {
  return rows.map((count) => ({ rows: count, unpackedParts: count > 1 ? unpackedParts : null, streamedPanels }));
}

export interface DotAtom {
  /** Names the kernels that use it. */
  readonly name: string;
  readonly tile: {
    /** Rows of activations that one accumulator covers. */
    readonly m: number;
    /** Rows of a panel that one accumulator covers; divides 16. */
    readonly n: number;
    /** Elements of k that one step covers; divides 32. */
    readonly k: number;
  };
  /** Best first, as `lfmc tune` measured them (decision 0014): a product takes the first that a call can fill. */
  readonly tiles: Readonly<Record<NumberWidth, readonly TileShape[]>>;
  /** Multiplies the rows that fill no multiple of m; null where m is 1. */
  readonly rest: DotAtom | null;
  /** The 8-bit activations of `m` rows for one step: `k` bytes at each place. */
  loadActivations(b: KernelBuilder, places: readonly Place[]): Registers;
  readonly formats: Readonly<Record<NumberWidth, AtomFormat>>;
}
