/** What the inner products of the matrix product share: their form, and the accumulators of a tile. */
import type { DotAtom } from "../atom.ts";
import type { KernelBuilder } from "../builder.ts";
import type { Value, Variable } from "../ir.ts";
import { f32x16 } from "./lanes.ts";
import type { PanelLayout } from "./panels.ts";

/** Emits the sums of `count` rows from `row` on, for one panel among all of all streams: one f32x16 a row. */
export type Product = (row: Value, panel: Value, count: number) => readonly Value[];

export interface ProductSpec {
  readonly layout: PanelLayout;
  /** Elements from one row of f32 activations to the next; null for 8-bit activations, whose rows are as long as the padded columns. */
  readonly inputStride: number | null;
  /** Multiplies 8-bit activations with grouped weights. */
  readonly atom: DotAtom | null;
}

/** One accumulator a row, at +0. */
export function newSums(b: KernelBuilder, count: number): readonly Variable[] {
  return Array.from({ length: count }, (_, i) => b.variable(`sum${i}`, b.literal(f32x16, 0)));
}

/** sum + x[k] * w, for each row of the tile. */
export function accumulate(b: KernelBuilder, sums: readonly Variable[], w: Value, x: (row: number) => Value): void {
  sums.forEach((sum, i) => {
    b.assign(sum, b.add(b.read(sum), b.mul(x(i), w)));
  });
}
