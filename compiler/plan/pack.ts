/**
 * Packs constants into the form that kernels read (kernel/library/panels), tensor by tensor and a few hundred rows at a time: the
 * packer's own memory is one packed tensor and one run of rows, whatever the model's size.
 */
import { internal } from "../errors.ts";
import {
  headerBytes,
  panelBytes,
  panelCount,
  panelRows,
  paddedColumns,
  runLength,
  groupBytes,
  scaleRowBytes,
  blockBytes,
  panelsStart,
  layoutBytes,
  type PanelLayout,
} from "../kernel/library/panels.ts";
import { f32ToF16 } from "../numeric/half.ts";
import { blockSize, groupSize, q4GroupScale, q4GroupValues, roundUp, scaleStorage, storedScale } from "../numeric/quantize.ts";
import { ropeTables } from "../numeric/rope.ts";
import type { PackedConstant, PackedForm } from "./constants.ts";

/** Reads rows start…start+count-1 of the constant's checkpoint matrix [rows, last axis], sources stacked. */
export type RowReader = (start: number, count: number) => Promise<Float32Array>;

/** A constant's bytes, and its form as packed: the scales' format is known only once all weights were seen. */
export interface Packed {
  readonly form: PackedForm;
  readonly bytes: Uint8Array;
}

/** Weights read at a time, in elements. */
const runElements = 1 << 20;

export async function packConstant({ name, form, shape }: PackedConstant, read: RowReader): Promise<Packed> {
  switch (form.kind) {
    case "panels":
      return form.layout.encoding.weights === "f32" ? await packFloats(form.layout, read) : await packGroups(form.layout, read);
    case "vector": {
      // A vector's one axis is its last: it is a single row.
      const [values, length] = [await read(0, 1), roundUp(form.length, panelRows)];
      const packed = new Float32Array(form.streams * length);
      for (let stream = 0; stream < form.streams; stream++)
        packed.set(values.subarray(stream * form.length, (stream + 1) * form.length), stream * length);
      return { form, bytes: bytesOf(packed) };
    }
    case "taps": {
      const [values, channels] = [await read(0, shape[0] ?? internal(`${name} has no shape`)), roundUp(form.channels, panelRows)];
      const packed = new Float32Array(form.width * channels);
      values.forEach((value, i) => {
        packed[(i % form.width) * channels + Math.floor(i / form.width)] = value;
      });
      return { form, bytes: bytesOf(packed) };
    }
    case "rope":
      return { form, bytes: bytesOf(ropeTables(form.headSize, form.base, form.context)[form.table]) };
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Visits a matrix of several streams in runs of rows; `visit` gets each row with its panel (streams interleaved) and lane. */
async function forRows(
  layout: PanelLayout,
  read: RowReader,
  visit: (row: Float32Array, panel: number, lane: number) => void,
): Promise<void> {
  const { rows, columns, streams } = layout;
  const run = Math.max(1, Math.floor(runElements / columns));
  for (let stream = 0; stream < streams; stream++) {
    for (let start = 0; start < rows; start += run) {
      const count = Math.min(run, rows - start);
      const values = await read(stream * rows + start, count);
      for (let i = 0; i < count; i++) {
        const row = start + i;
        visit(values.subarray(i * columns, (i + 1) * columns), Math.floor(row / panelRows) * streams + stream, row % panelRows);
      }
    }
  }
}

async function packFloats(layout: PanelLayout, read: RowReader): Promise<Packed> {
  const packed = new Float32Array(layoutBytes(layout) / 4);
  const panelElements = panelBytes(layout) / 4;
  await forRows(layout, read, (row, panel, lane) => {
    const start = panel * panelElements + lane;
    for (let k = 0; k < row.length; k++) packed[start + k * panelRows] = row[k] ?? 0;
  });
  return { form: { kind: "panels", layout }, bytes: bytesOf(packed) };
}

/** Two zeros: both nibbles 8. */
const zeroPair = 0x88;

/** q4_0: quantises into nibbles laid as f16 scales want them; the exact scales are kept aside until their range is known. */
async function packGroups(layout: PanelLayout, read: RowReader): Promise<Packed> {
  const groups = paddedColumns(layout) / groupSize;
  const panels = panelCount(layout) * layout.streams;
  const nibbles = new Uint8Array(panels * groups * groupBytes).fill(zeroPair);
  const scales = new Float32Array(panels * groups * panelRows);
  let smallest = Infinity;
  let largest = 0;
  const u = new Uint8Array(groupSize);
  await forRows(layout, read, (row, panel, lane) => {
    for (let group = 0; group * groupSize < row.length; group++) {
      const values = row.subarray(group * groupSize, (group + 1) * groupSize);
      const scale = q4GroupScale(values);
      u.fill(8);
      q4GroupValues(values, scale, u);
      writeNibbles(u, nibbles, (panel * groups + group) * groupBytes + lane * runLength);
      scales[(panel * groups + group) * panelRows + lane] = scale;
      const magnitude = Math.abs(scale);
      if (magnitude > largest) largest = magnitude;
      if (magnitude > 0 && magnitude < smallest) smallest = magnitude;
    }
  });
  const storage = scaleStorage(smallest, largest);
  const final: PanelLayout = { ...layout, encoding: { weights: "q4_0", scales: storage.format } };
  const packed = new Uint8Array(layoutBytes(final));
  new DataView(packed.buffer, 0, headerBytes).setFloat32(0, 2 ** -storage.exponent, true);
  for (let i = 0; i < panels * groups; i++) {
    const block =
      panelsStart(final) + Math.floor(i / groups) * panelBytes(final) + Math.floor((i % groups) / 2) * blockBytes(storage.format);
    const half = (i % groups) % 2;
    writeScales(packed, block + half * scaleRowBytes(storage.format), scales.subarray(i * panelRows, (i + 1) * panelRows), storage);
    const nibblesAt = block + (blockSize / groupSize) * scaleRowBytes(storage.format) + half * groupBytes;
    packed.set(nibbles.subarray(i * groupBytes, (i + 1) * groupBytes), nibblesAt);
  }
  return { form: { kind: "panels", layout: final }, bytes: packed };
}

/** 32 values of one row into a group's bytes, from byte `at`: runs of four, even runs low and odd runs high. */
function writeNibbles(u: Uint8Array, nibbles: Uint8Array, at: number): void {
  for (let pair = 0; pair < groupSize / (2 * runLength); pair++) {
    for (let c = 0; c < runLength; c++) {
      const k = pair * 2 * runLength + c;
      nibbles[at + pair * panelRows * runLength + c] = (u[k] ?? 8) | ((u[k + runLength] ?? 8) << 4);
    }
  }
}

function writeScales(packed: Uint8Array, at: number, scales: Float32Array, storage: ReturnType<typeof scaleStorage>): void {
  const view = new DataView(packed.buffer, at, scaleRowBytes(storage.format));
  scales.forEach((scale, lane) => {
    const stored = storedScale(scale, storage);
    if (storage.format === "f32") view.setFloat32(lane * 4, stored, true);
    else view.setUint16(lane * 2, f32ToF16(stored), true);
  });
}
