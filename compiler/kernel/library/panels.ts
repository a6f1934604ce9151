/**
 * The packed layout of matrices, "n16k4": panels of 16 rows, whose columns go in runs of four. One layout serves every dot atom, so
 * one weights file serves every target.
 *
 * A grouped panel is a run of blocks; a block is two groups of 32 columns: the scales of 16 rows for the first group, then for the
 * second, where there are minimums those of both likewise, then the values of the first and of the second. Values are words of four
 * bytes a row, byte 4 r + c of word j being row r's. Numbers of 8 bits: that byte holds column 4 j + c. Nibbles: column 8 j + c in its
 * low nibble and 8 j + 4 + c in its high one. Numbers of three bits are such nibbles, of whose four words three are stored: bit i of
 * each nibble of the fourth is the top bit of the same nibble of word i. A float panel is columns of 16 rows. A matrix of several
 * streams (gate and up; B, C and X) interleaves their panels, so that one pass reads all of them.
 */
import { blockSize, groupSize, roundUp } from "../../numeric/quantize.ts";
import { groupFormatNamed, groupFormats, type GroupFormatName, type ScaleFormat } from "../../numeric/weight-groups.ts";

/** Rows of a panel. */
export const panelRows = 16;
/** Columns that share a 4-byte run of a row. */
export const runLength = 4;
const groupsPerBlock = blockSize / groupSize;
/** A grouped matrix starts with a cache line whose first f32 undoes the exponent of its scales (numeric/weight-groups). */
export const headerBytes = 64;
/** Floats of 16 rows a column, or groups with scales. */
export type PanelEncoding = FloatEncoding | GroupEncoding;
export interface FloatEncoding {
  readonly weights: "f32" | "f16" | "bf16";
}
export interface GroupEncoding {
  readonly weights: GroupFormatName;
  readonly scales: ScaleFormat;
}

/** Whether weights are integers in groups with scales. */
export function isGrouped(encoding: PanelEncoding): encoding is GroupEncoding {
  return groupFormatNamed(encoding.weights) !== undefined;
}

/** Bytes of one word of 16 rows; a group of numbers of n bits has n words. */
export const wordBytes = panelRows * runLength;

/** Columns of a word: a number of more than four bits takes a byte, others share one. */
export function columnsPerWord(bits: number): number {
  return bits > 4 ? runLength : 2 * runLength;
}

/** Bytes of 16 rows and 32 columns, without their scales. */
export function groupBytes({ weights }: Pick<GroupEncoding, "weights">): number {
  return (panelRows * groupSize * groupFormats[weights].bits) / 8;
}

/** Bytes of one float column of 16 rows. */
export function columnBytes({ weights }: FloatEncoding): number {
  return panelRows * (weights === "f32" ? 4 : 2);
}

/**
 * A packed constant: `matrices` matrices (experts; one otherwise) one after the other, each of `streams` streams of `rows` rows and
 * `columns` columns.
 */
export interface PanelLayout {
  readonly encoding: PanelEncoding;
  readonly matrices: number;
  readonly streams: number;
  readonly rows: number;
  readonly columns: number;
}

/** Bytes of the scales of 16 rows in one group; minimums have as many. */
export function scaleRowBytes(scales: ScaleFormat): number {
  return panelRows * (scales === "f16" ? 2 : 4);
}

/** Numbers that a group has beside its values: a scale, and where the format has one a minimum. */
export function scalesPerGroup({ weights }: Pick<GroupEncoding, "weights">): number {
  return groupFormats[weights].hasMinimums ? 2 : 1;
}

/** Bytes of a block: the scales of its groups, their minimums, then their values. */
export function blockBytes(encoding: GroupEncoding): number {
  return groupsPerBlock * (scalesPerGroup(encoding) * scaleRowBytes(encoding.scales) + groupBytes(encoding));
}

/** Columns, padded to whole blocks where groups share scales. */
export function paddedColumns({ encoding, columns }: PanelLayout): number {
  return isGrouped(encoding) ? roundUp(columns, blockSize) : columns;
}

/** Panels of one stream of one matrix; the last may be partly padding. */
export function panelCount({ rows }: PanelLayout): number {
  return Math.ceil(rows / panelRows);
}

/** Panels of the whole constant: matrix by matrix, the streams of each interleaved. */
export function allPanels(layout: PanelLayout): number {
  return layout.matrices * panelCount(layout) * layout.streams;
}

/** Bytes of one panel of one stream, all columns. */
export function panelBytes(layout: PanelLayout): number {
  const { encoding } = layout;
  if (!isGrouped(encoding)) return columnBytes(encoding) * layout.columns;
  return (paddedColumns(layout) / blockSize) * blockBytes(encoding);
}

/** Offset of the first panel. */
export function panelsStart({ encoding }: PanelLayout): number {
  return isGrouped(encoding) ? headerBytes : 0;
}

/** Bytes of the whole packed constant. */
export function layoutBytes(layout: PanelLayout): number {
  return panelsStart(layout) + allPanels(layout) * panelBytes(layout);
}

/** Offsets inside a block. */
export interface GroupOffsets {
  readonly scales: number;
  /** null where the format has none. */
  readonly minimums: number | null;
  readonly values: number;
}

/** Offsets of one group's scales, minimums and values inside its panel's block. */
export function groupOffsets(encoding: GroupEncoding, half: number): GroupOffsets {
  const scales = scaleRowBytes(encoding.scales);
  const kinds = scalesPerGroup(encoding);
  return {
    scales: half * scales,
    minimums: kinds > 1 ? (groupsPerBlock + half) * scales : null,
    values: kinds * groupsPerBlock * scales + half * groupBytes(encoding),
  };
}

/** `q4_0`, `q4_0s32` (f32 scales), `f16`, …, for kernel names. */
export function encodingName(encoding: PanelEncoding): string {
  return isGrouped(encoding) && encoding.scales === "f32" ? `${encoding.weights}s32` : encoding.weights;
}
