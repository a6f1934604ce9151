/**
 * The product of one row with several panels at once, as decoding needs it: each weight is read once, and the panels take turns group by group,
 * so that the machine fetches several runs of memory ahead of time. A single run would leave it waiting: no processor looks further ahead than
 * some cache lines into each, and never past the end of a page. The sums wait in scratch memory.
 */
import type { DotAtom } from "../atom.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";
import { forGroups, unscaled } from "./grouped-panels.ts";
import { activationTile, addPackedGroup, plus, type GroupedOperands } from "./grouped-product.ts";
import { chunkBytes, f32Bytes, f32x16 } from "./lanes.ts";
import { panelBytes } from "./panels.ts";

/** Emits the sums of `row` and `count` panels from `first` on, among all panels of all streams, to `sums`: [count, 16] f32. */
export type StreamedProduct = (row: Value, first: Value, count: Index, sums: Value) => void;

/** Multiplies straight from the packed panels; for atoms whose m is 1. */
export function streamedProduct(b: KernelBuilder, operands: GroupedOperands, atom: DotAtom): StreamedProduct {
  const { layout, encoding } = operands;
  const { n } = atom.tile;
  return (row, first, count, sums) => {
    const panels = b.advance(operands.weights, first, panelBytes(layout));
    const tile = activationTile(b, operands, atom, row, 1);
    b.for("streamed", 0, count, 1, (panel) => {
      b.store(b.literal(f32x16, 0), sums, b.mul(panel, chunkBytes));
    });
    forGroups(b, layout, encoding, panels, tile.groups, (group) => {
      const activations = tile.group(group.group, true);
      b.for("streamed", 0, count, 1, (panel) => {
        const place = { ...group, pointer: b.advance(panels, panel, panelBytes(layout)) };
        const at = b.mul(panel, chunkBytes);
        addPackedGroup(b, operands, atom, place, activations, 1, (_, part, terms) => {
          const offset = part * n * f32Bytes;
          b.store(plus(b, b.load(vector("f32", n), sums, at, offset), terms), sums, at, offset);
        });
      });
    });
    b.for("streamed", 0, count, 1, (panel) => {
      const at = b.mul(panel, chunkBytes);
      b.store(unscaled(b, operands.weights, b.load(f32x16, sums, at)), sums, at);
    });
  };
}
