/** How 16 rows of weights become the bytes of one panel, as kernel/library/panels has it; grouped ones come as numbers and scales. */
import {
  blockBytes,
  groupOffsets,
  paddedColumns,
  panelRows,
  runLength,
  type FloatEncoding,
  type GroupEncoding,
  type PanelLayout,
} from "../kernel/library/panels.ts";
import { f32ToBf16, f32ToF16 } from "../numeric/half.ts";
import { blockSize, groupSize } from "../numeric/quantize.ts";
import { groupFormats, storedScaleBits, type Groups, type ScaleStorage } from "../numeric/weight-groups.ts";

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
  const padding = new Uint32Array(new Uint8Array(groupSize).fill(offset).buffer);
  return ({ rows, columns, u, scales: exact }, first, panel) => {
    const words = new Uint32Array(panel.buffer, panel.byteOffset, panel.length / runLength);
    const view = new DataView(panel.buffer, panel.byteOffset, panel.length);
    const runs = new Uint32Array(u.buffer, u.byteOffset, u.length / runLength);
    for (let lane = 0; lane < panelRows; lane++) {
      const row = first + lane;
      places.forEach(({ scales, values }, group) => {
        const isPadding = row >= rows;
        const [source, at] = isPadding ? [padding, 0] : [runs, (row * columns + group * groupSize) / runLength];
        moveRuns(bits, source, at, words, values / runLength + lane);
        const stored = storedScaleBits(isPadding ? 0 : (exact[row * places.length + group] ?? 0), storage);
        if (storage.format === "f16") view.setUint16(scales + lane * 2, stored, true);
        else view.setUint32(scales + lane * 4, stored, true);
      });
    }
  };
}

/** Byte offsets in a panel of each group's scales and values. */
function groupPlaces(layout: GroupedLayout): readonly { readonly scales: number; readonly values: number }[] {
  return Array.from({ length: paddedColumns(layout) / groupSize }, (_, group) => {
    const block = Math.floor(group / groupsPerBlock) * blockBytes(layout.encoding);
    const { scales, values } = groupOffsets(layout.encoding, group % groupsPerBlock);
    return { scales: block + scales, values: block + values };
  });
}

/** The runs of one row's group, `from` on, to every 16th word from `at`; with 4 bits, even runs are low nibbles and odd ones high. */
function moveRuns(bits: number, runs: Uint32Array, from: number, words: Uint32Array, at: number): void {
  const planes = 8 / bits;
  for (let run = 0; run < runsPerGroup; run += planes) {
    const high = planes === 2 ? (runs[from + run + 1] ?? 0) << bits : 0;
    words[at + (run / planes) * panelRows] = (runs[from + run] ?? 0) | high;
  }
}
