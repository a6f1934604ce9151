/** The inner product of f32 activations with grouped weights: w = dw * (u - offset), or dw * u + mw, then as with float weights. */
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import type { Value, Variable } from "../ir.ts";
import { floatActivations } from "./activations.ts";
import { centred, forWords, numberOf } from "./group-numbers.ts";
import { forGroups, groupedWeights, loadScales, unscaled, valuesPlace, type Group } from "./grouped-panels.ts";
import { f32Bytes, f32x16, i32x16 } from "./lanes.ts";
import { blockBytes, panelBytes, wordBytes, type GroupEncoding, type PanelLayout } from "./panels.ts";
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
  const { scales, minimums } = loadScales(b, layout, encoding, group);
  const values = valuesPlace(b, layout, encoding, group);
  const load = (word: Index): Value =>
    b.load(
      i32x16,
      group.pointer,
      b.add(values.index, typeof word === "number" ? b.int(word * wordBytes) : b.mul(word, wordBytes)),
      values.offset,
    );
  forWords(b, { bits, columns, type: i32x16 }, load, (word) => {
    const first = b.add(b.mul(group.group, groupSize), typeof word.first === "number" ? b.int(word.first) : word.first);
    for (let column = 0; column < word.count; column++) {
      const scaled = b.mul(scales, b.toFloat(centred(b, numberOf(b, bits, word, column), offset)));
      const w = minimums ? b.add(scaled, minimums) : scaled;
      accumulate(b, sums, w, (i) => b.loadSplat(f32x16, input, b.mul(first, f32Bytes), (i * stride + column) * f32Bytes));
    }
  });
}
