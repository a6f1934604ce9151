/**
 * The packed layout of matrices, "n16k4": panels of 16 rows, whose columns go in groups of four. One layout serves every dot atom,
 * so one weights file serves every target.
 *
 * A q4_0 panel is a run of blocks; a block is two groups of 32 columns: the scales of 16 rows for the first group, then for the
 * second, then 512 bytes of nibbles. Byte 64 j + 4 r + c of a group's 256 holds row r: column 8 j + c in the low nibble and
 * 8 j + 4 + c in the high one. An f32 panel is columns of 16 rows. A matrix of several streams (gate and up; B, C and X) interleaves
 * their panels, so that one pass reads all of them.
 */
import { blockSize, groupSize, roundUp, type ScaleFormat } from "../../numeric/quantize.ts";

/** Rows of a panel. */
export const panelRows = 16;
/** Columns that share a 4-byte run of a row. */
export const runLength = 4;
const groupsPerBlock = blockSize / groupSize;
/** A q4_0 matrix starts with a cache line whose first f32 undoes the exponent of its scales (numeric/quantize). */
export const headerBytes = 64;
/** Nibbles of 16 rows and 32 columns. */
export const groupBytes = (panelRows * groupSize) / 2;

export type PanelEncoding = { readonly weights: "f32" } | { readonly weights: "q4_0"; readonly scales: ScaleFormat };

/** A packed matrix: `streams` matrices of `rows` rows and `columns` columns each. */
export interface PanelLayout {
  readonly encoding: PanelEncoding;
  readonly streams: number;
  readonly rows: number;
  readonly columns: number;
}

/** Bytes of the scales of 16 rows in one group. */
export function scaleRowBytes(scales: ScaleFormat): number {
  return panelRows * (scales === "f16" ? 2 : 4);
}

/** Bytes of a q4_0 block: scales, then nibbles. */
export function blockBytes(scales: ScaleFormat): number {
  return groupsPerBlock * (scaleRowBytes(scales) + groupBytes);
}

/** Columns, padded to whole blocks where groups share scales. */
export function paddedColumns({ encoding, columns }: PanelLayout): number {
  return encoding.weights === "q4_0" ? roundUp(columns, blockSize) : columns;
}

export function panelCount({ rows }: PanelLayout): number {
  return Math.ceil(rows / panelRows);
}

export function panelBytes(layout: PanelLayout): number {
  const { encoding } = layout;
  if (encoding.weights === "f32") return panelRows * 4 * layout.columns;
  return (paddedColumns(layout) / blockSize) * blockBytes(encoding.scales);
}

/** Offset of the first panel. */
export function panelsStart({ encoding }: PanelLayout): number {
  return encoding.weights === "q4_0" ? headerBytes : 0;
}

/** Bytes of the whole packed matrix. */
export function layoutBytes(layout: PanelLayout): number {
  return panelsStart(layout) + panelCount(layout) * layout.streams * panelBytes(layout);
}

/** `q4_0` or `q4_0s32` (f32 scales) or `f32`, for kernel names. */
export function encodingName(encoding: PanelEncoding): string {
  if (encoding.weights === "f32") return "f32";
  return encoding.scales === "f16" ? "q4_0" : "q4_0s32";
}
