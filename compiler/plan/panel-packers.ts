/** How 16 rows of weights become the bytes of one panel, as kernel/library/panels has it; grouped ones are quantised here. */
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
import { extremeOf, groupFormats, storedScaleBits, type ScaleStorage } from "../numeric/weight-groups.ts";

/** Packs 16 rows, [16, columns], into the panelBytes of their panel, which start on a multiple of four. */
export type PanelPacker = (rows: Float32Array, panel: Uint8Array) => void;

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
export function floatPanelPacker({ columns }: PanelLayout, { weights }: FloatEncoding): PanelPacker {
  const { elementsIn, of } = floatElements[weights];
  return (rows, panel) => {
    const elements = elementsIn(panel);
    for (let lane = 0; lane < panelRows; lane++)
      for (let k = 0; k < columns; k++) elements[k * panelRows + lane] = of(rows[lane * columns + k] ?? 0);
  };
}

const groupsPerBlock = blockSize / groupSize;
const runsPerGroup = groupSize / runLength;

/** A layout of weights in groups. */
export type GroupedLayout = PanelLayout & { readonly encoding: GroupEncoding };

/** A packer of groups with scales. Each row's group becomes 32 bytes, one number each, and these are moved in runs of four. */
export function groupedPanelPacker(layout: GroupedLayout, storage: ScaleStorage): PanelPacker {
  const { encoding, columns } = layout;
  const format = groupFormats[encoding.weights];
  const places = groupPlaces(layout);
  const u = new Uint8Array(groupSize);
  const runs = new Uint32Array(u.buffer);
  return (rows, panel) => {
    const bits = new Int32Array(rows.buffer, rows.byteOffset, rows.length);
    const words = new Uint32Array(panel.buffer, panel.byteOffset, panel.length / runLength);
    const view = new DataView(panel.buffer, panel.byteOffset, panel.length);
    for (let lane = 0; lane < panelRows; lane++) {
      places.forEach(({ scales, values }, group) => {
        // Columns of padding are not encoded: their u are the offset, and a group of nothing else ends before it starts.
        const start = lane * columns + group * groupSize;
        const end = lane * columns + Math.min((group + 1) * groupSize, columns);
        const scale = format.scaleOf(extremeOf(bits, start, end));
        if (end - start < groupSize) u.fill(format.offset);
        format.encode(rows, start, end, scale, u, 0);
        moveRuns(format.bits, runs, words, values / runLength + lane);
        const stored = storedScaleBits(scale, storage);
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

/** The runs of one row's group to every 16th word from `at`; with 4 bits, even runs are low nibbles and odd ones high. */
function moveRuns(bits: number, runs: Uint32Array, words: Uint32Array, at: number): void {
  const planes = 8 / bits;
  for (let run = 0; run < runsPerGroup; run += planes) {
    const high = planes === 2 ? (runs[run + 1] ?? 0) << bits : 0;
    words[at + (run / planes) * panelRows] = (runs[run] ?? 0) | high;
  }
}
