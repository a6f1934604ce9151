/** How 16 rows of weights become the bytes of one panel, as kernel/library/panels has it; grouped ones come as numbers and scales. */
import {
  blockBytes,
  columnsPerWord,
  groupOffsets,
  paddedColumns,
  panelRows,
  runLength,
  type FloatEncoding,
  type GroupEncoding,
  type GroupOffsets,
  type PanelLayout,
} from "../kernel/library/panels.ts";
import { f32ToBf16, f32ToF16 } from "../numeric/half.ts";
import { blockSize, groupSize } from "../numeric/quantize.ts";
import { groupFormats, storedMinimumBits, storedScaleBits, type Groups, type ScaleStorage } from "../numeric/weight-groups.ts";

/** Packs 16 of the rows from `first` on, zeros where there are fewer, into the panelBytes of their panel, which start on a multiple of four. */
export type PanelPacker<Rows> = (rows: Rows, first: number, panel: Uint8Array) => void;

const halvesIn = (panel: Uint8Array): Uint16Array => new Uint16Array(panel.buffer, panel.byteOffset, panel.length / 2);

/** How each float encoding's elements are held and made. */
const floatElements: Readonly<
  Record<
    FloatEncoding["weights"],
    { readonly elementsIn: (panel: Uint8Array) => Float32Array | Uint16Array; readonly of: (value: number) => number }
  >
> = {
  f32: { elementsIn: (panel) => new Float32Array(panel.buffer, panel.byteOffset, panel.length / 4), of: (value) => value },
  f16: { elementsIn: halvesIn, of: f32ToF16 },
  bf16: { elementsIn: halvesIn, of: f32ToBf16 },
};

/** A packer of floats. */
export function floatPanelPacker({ columns }: PanelLayout, { weights }: FloatEncoding): PanelPacker<Float32Array> {
  const { elementsIn, of } = floatElements[weights];
  return (rows, first, panel) => {
    const elements = elementsIn(panel);
    for (let lane = 0; lane < panelRows; lane++)
      for (let k = 0; k < columns; k++) elements[k * panelRows + lane] = of(rows[(first + lane) * columns + k] ?? 0);
  };
}

const groupsPerBlock = blockSize / groupSize;
const runsPerGroup = groupSize / runLength;

/** A layout of weights in groups. */
export type GroupedLayout = PanelLayout & { readonly encoding: GroupEncoding };

/** A packer of groups with scales. Each row's group is 32 bytes, one number each, which are moved in runs of four. */
export function groupedPanelPacker(layout: GroupedLayout, storage: ScaleStorage): PanelPacker<Groups> {
  const { bits, offset } = groupFormats[layout.encoding.weights];
  const places = groupPlaces(layout);
  const write = storage.format === "f16" ? writeHalf : writeFloat;
  const padding = new Uint32Array(new Uint8Array(groupSize).fill(offset).buffer);
  return ({ rows, columns, u, scales: exactScales, minimums: exactMinimums }, first, panel) => {
    const words = new Uint32Array(panel.buffer, panel.byteOffset, panel.length / runLength);
    const view = new DataView(panel.buffer, panel.byteOffset, panel.length);
    const runs = new Uint32Array(u.buffer, u.byteOffset, u.length / runLength);
    for (let lane = 0; lane < panelRows; lane++) {
      const row = first + lane;
      places.forEach(({ scales, minimums, values }, group) => {
        const isPadding = row >= rows;
        const [source, at] = isPadding ? [padding, 0] : [runs, (row * columns + group * groupSize) / runLength];
        moveRuns(bits, source, at, words, values / runLength + lane);
        const exactOf = (exact: Float32Array | null): number => (isPadding ? 0 : (exact?.[row * places.length + group] ?? 0));
        write(view, scales, lane, storedScaleBits(exactOf(exactScales), storage));
        if (minimums !== null) write(view, minimums, lane, storedMinimumBits(exactOf(exactMinimums), storage));
      });
    }
  };
}

type WriteBits = (view: DataView, at: number, lane: number, bits: number) => void;

const writeHalf: WriteBits = (view, at, lane, bits) => {
  view.setUint16(at + lane * 2, bits, true);
};
const writeFloat: WriteBits = (view, at, lane, bits) => {
  view.setUint32(at + lane * 4, bits, true);
};

/** Byte offsets in a panel of each group's parts. */
function groupPlaces(layout: GroupedLayout): readonly GroupOffsets[] {
  return Array.from({ length: paddedColumns(layout) / groupSize }, (_, group) => {
    const block = Math.floor(group / groupsPerBlock) * blockBytes(layout.encoding);
    const { scales, minimums, values } = groupOffsets(layout.encoding, group % groupsPerBlock);
    return { scales: block + scales, minimums: minimums === null ? null : block + minimums, values: block + values };
  });
}

/**
 * The runs of one row's group, `from` on, as the words of kernel/library/panels, which lie 16 apart from `at` on: of nibbles, even runs are low and
 * odd ones high; of those of three bits, the fourth word goes into the top bits of the others.
 */
function moveRuns(bits: number, runs: Uint32Array, from: number, words: Uint32Array, at: number): void {
  const runsPerWord = columnsPerWord(bits) / runLength;
  for (let run = 0; run < runsPerGroup; run += runsPerWord) {
    const word = (runs[from + run] ?? 0) | (runsPerWord === 2 ? (runs[from + run + 1] ?? 0) << 4 : 0);
    const index = run / runsPerWord;
    if (index < bits) words[at + index * panelRows] = word;
    else
      for (let i = 0; i < bits; i++) words[at + i * panelRows] = (words[at + i * panelRows] ?? 0) | (((word >>> i) & 0x11111111) << bits);
  }
}
