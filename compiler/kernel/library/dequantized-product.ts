/** The inner product of f32 activations with grouped weights: w = dw * (u - offset), then as with float weights. */
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import type { Value, Variable } from "../ir.ts";
import { floatActivations } from "./activations.ts";
import { forGroups, groupedWeights, loadScales, unscaled, valuesPlace, type Group } from "./grouped-panels.ts";
import { f32Bytes, f32x16, i32x16 } from "./lanes.ts";
import { blockBytes, panelBytes, panelRows, runLength, type GroupEncoding, type PanelLayout } from "./panels.ts";
import { accumulate, newSums, type Product } from "./product.ts";

/** Activations lie `stride` elements from row to row. */
export function dequantizedProduct(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, stride: number): Product {
  const x = floatActivations(b, layout.columns, stride);
  const weights = groupedWeights(b, layout);
  const wholeGroups = Math.floor(layout.columns / groupSize);
  const rest = layout.columns % groupSize;
  return (row, panel, count) => {
    const input = b.advance(x, row, stride * f32Bytes);
    const panels = b.advance(weights, panel, panelBytes(layout));
    const sums = newSums(b, count);
    const tile = { layout, encoding, input, stride, sums };
    forGroups(b, layout, encoding, panels, wholeGroups, (group) => {
      dequantizedGroup(b, tile, group, groupSize);
    });
    if (rest > 0) {
      const perBlock = blockSize / groupSize;
      const block = b.int(Math.floor(wholeGroups / perBlock) * blockBytes(encoding));
      dequantizedGroup(b, tile, { pointer: panels, block, half: b.int(wholeGroups % perBlock), group: b.int(wholeGroups) }, rest);
    }
    return sums.map((sum) => unscaled(b, weights, b.read(sum)));
  };
}

interface FloatTile {
  readonly layout: PanelLayout;
  readonly encoding: GroupEncoding;
  readonly input: Value;
  readonly stride: number;
  readonly sums: readonly Variable[];
}

/** Adds the first `columns` columns of a group. */
function dequantizedGroup(b: KernelBuilder, { layout, encoding, input, stride, sums }: FloatTile, group: Group, columns: number): void {
  const { bits, offset } = groupFormats[encoding.weights];
  const dw = loadScales(b, layout, encoding, group);
  const values = valuesPlace(b, layout, encoding, group);
  // Columns whose bits share a 4-byte run of each row.
  const columnsPerRun = (runLength * 8) / bits;
  const wholeRuns = Math.floor(columns / columnsPerRun);
  const addRun = (run: Index, count: number): void => {
    const at = b.add(values.index, typeof run === "number" ? b.int(run * panelRows * runLength) : b.mul(run, panelRows * runLength));
    const words = b.load(i32x16, group.pointer, at, values.offset);
    const first = b.add(b.mul(group.group, groupSize), typeof run === "number" ? b.int(run * columnsPerRun) : b.mul(run, columnsPerRun));
    for (let column = 0; column < count; column++) {
      // Low nibbles of the run's four bytes come first, then the high ones.
      const shift = 8 * (column % runLength) + bits * Math.floor(column / runLength);
      const u = b.and(b.shrU(words, shift), 2 ** bits - 1);
      const w = b.mul(dw, b.toFloat(b.sub(u, offset)));
      accumulate(b, sums, w, (i) => b.loadSplat(f32x16, input, b.mul(first, f32Bytes), (i * stride + column) * f32Bytes));
    }
  };
  b.for("run", 0, wholeRuns, 1, (run) => {
    addRun(run, columnsPerRun);
  });
  if (columns % columnsPerRun > 0) addRun(wholeRuns, columns % columnsPerRun);
}
