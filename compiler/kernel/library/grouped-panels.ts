/** Reading the panels of grouped weights: their blocks, groups, scales and values. */
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import type { ScaleFormat } from "../../numeric/weight-groups.ts";
import type { Place } from "../atom.ts";
import type { KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";
import { halfToFloat, normalHalfToFloat } from "./functions.ts";
import { f32x16 } from "./lanes.ts";
import { prefetchAhead } from "./prefetch.ts";
import {
  allPanels,
  blockBytes,
  groupBytes,
  groupOffsets,
  paddedColumns,
  panelRows,
  panelsStart,
  scaleRowBytes,
  type GroupEncoding,
  type PanelLayout,
} from "./panels.ts";

/** A pointer to a packed matrix. */
export function groupedWeights(b: KernelBuilder, layout: PanelLayout): Value {
  const blocks = paddedColumns(layout) / blockSize;
  return b.pointer("weights", "read", `${layout.encoding.weights} panels [${allPanels(layout)}, ${blocks} blocks]`);
}

/** A group of one panel: where its scales and its values are. */
export interface Group {
  readonly pointer: Value;
  /** Byte index of its block. */
  readonly block: Value;
  /** Which of the block's groups it is. */
  readonly half: Value;
  /** Its index in the row. */
  readonly group: Value;
}

/** Emits `body` for each of the first `count` groups of a panel. */
export function forGroups(
  b: KernelBuilder,
  layout: PanelLayout,
  encoding: GroupEncoding,
  panels: Value,
  count: number,
  body: (group: Group) => void,
): void {
  const perBlock = blockSize / groupSize;
  const visit = (block: Value, half: Value): void => {
    body({ pointer: panels, block: b.mul(block, blockBytes(encoding)), half, group: b.add(b.mul(block, perBlock), half) });
  };
  const whole = Math.floor(count / perBlock);
  b.for("block", 0, whole, 1, (block) => {
    prefetchAhead(b, panels, b.mul(block, blockBytes(encoding)), blockBytes(encoding));
    b.for("group", 0, perBlock, 1, (half) => {
      visit(block, half);
    });
  });
  for (let rest = whole * perBlock; rest < count; rest++) visit(b.int(whole), b.int(rest - whole * perBlock));
}

/** What a group's numbers are multiplied with, and where there are minimums what is added, each for some rows. */
export interface GroupScales {
  readonly scales: Value;
  readonly minimums: Value | null;
}

/** Those of 16 rows in one group. */
export function loadScales(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, { pointer, block, half }: Group): GroupScales {
  const { minimums } = groupOffsets(encoding, 0);
  const index = b.add(block, b.mul(half, scaleRowBytes(encoding.scales)));
  const start = panelsStart(layout);
  return {
    scales: floatsOf(b, encoding.scales, pointer, index, start, normalHalfToFloat),
    // Minimums may be 0, which is no normal half.
    minimums: minimums === null ? null : floatsOf(b, encoding.scales, pointer, index, start + minimums, halfToFloat),
  };
}

function floatsOf(b: KernelBuilder, format: ScaleFormat, pointer: Value, index: Value, offset: number, convert: typeof halfToFloat): Value {
  if (format === "f32") return b.load(f32x16, pointer, index, offset);
  return convert(b, b.widenS(b.load(vector("i16", panelRows), pointer, index, offset)));
}

/** The `count` rows from `first` on. */
export function scalesPart(b: KernelBuilder, { scales, minimums }: GroupScales, first: number, count: number): GroupScales {
  return { scales: b.part(scales, first, count), minimums: minimums && b.part(minimums, first, count) };
}

/** Where a group's values begin. */
export function valuesPlace(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, { pointer, block, half }: Group): Place {
  return {
    pointer,
    index: b.add(block, b.mul(half, groupBytes(encoding))),
    offset: panelsStart(layout) + groupOffsets(encoding, 0).values,
  };
}

/** A vector of sums times the power of two in the matrix's header. */
export function unscaled(b: KernelBuilder, weights: Value, sums: Value): Value {
  return b.mul(sums, b.loadSplat(sums.type, weights));
}
