/** Reading the panels of grouped weights: their blocks, groups, scales and values. */
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import type { ScaleFormat } from "../../numeric/weight-groups.ts";
import type { KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";
import { normalHalfToFloat } from "./functions.ts";
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

/** The scales of 16 rows in one group. */
export function loadScales(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, { pointer, block, half }: Group): Value {
  const index = b.add(block, b.mul(half, groupOffsets(encoding, 1).scales));
  return scaleVector(b, encoding.scales, pointer, index, panelsStart(layout));
}

function scaleVector(b: KernelBuilder, format: ScaleFormat, pointer: Value, index: Value, offset: number): Value {
  if (format === "f32") return b.load(f32x16, pointer, index, offset);
  return normalHalfToFloat(b, b.widenS(b.load(vector("i16", panelRows), pointer, index, offset)));
}

/** Byte index and offset of a group's values. */
export function valuesPlace(
  b: KernelBuilder,
  layout: PanelLayout,
  encoding: GroupEncoding,
  { block, half }: Group,
): { index: Value; offset: number } {
  return { index: b.add(block, b.mul(half, groupBytes(encoding))), offset: panelsStart(layout) + groupOffsets(encoding, 0).values };
}

/** A vector of sums times the power of two in the matrix's header. */
export function unscaled(b: KernelBuilder, weights: Value, sums: Value): Value {
  return b.mul(sums, b.loadSplat(sums.type, weights));
}
