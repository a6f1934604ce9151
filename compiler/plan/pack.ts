/**
 * Packs constants into the form that kernels read (kernel/library/panels), tensor by tensor and a few hundred rows at a time: the
 * packer's own memory is one packed tensor and one run of rows, whatever the model's size.
 */
import { internal } from "../errors.ts";
import {
  blockBytes,
  columnBytes,
  groupBytes,
  groupOffsets,
  headerBytes,
  isGrouped,
  layoutBytes,
  paddedColumns,
  panelBytes,
  panelCount,
  panelRows,
  panelsStart,
  runLength,
  scaleRowBytes,
  type FloatEncoding,
  type GroupEncoding,
  type PanelLayout,
} from "../kernel/library/panels.ts";
import { f32ToBf16, f32ToF16 } from "../numeric/half.ts";
import { blockSize, groupSize, roundUp } from "../numeric/quantize.ts";
import { groupFormats, ScaleRange, storedScale, type GroupFormat, type ScaleStorage } from "../numeric/weight-groups.ts";
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

/** Packs one constant from its checkpoint rows; the bytes are as many as packedBytes of the returned form. */
export async function packConstant({ name, form, shape }: PackedConstant, read: RowReader): Promise<Packed> {
  switch (form.kind) {
    case "panels":
      return isGrouped(form.layout.encoding)
        ? await packGroups(form.layout, form.layout.encoding, read)
        : await packFloats(form.layout, form.layout.encoding, read);
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

function bytesOf(values: Float32Array | Uint16Array): Uint8Array {
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

/** How each float encoding writes one element. */
const floatWriters: Readonly<
  Record<FloatEncoding["weights"], (elements: number) => { readonly bytes: Uint8Array; readonly set: (at: number, value: number) => void }>
> = {
  f32: (elements) => {
    const values = new Float32Array(elements);
    return { bytes: bytesOf(values), set: (at, value) => void (values[at] = value) };
  },
  f16: (elements) => {
    const values = new Uint16Array(elements);
    return { bytes: bytesOf(values), set: (at, value) => void (values[at] = f32ToF16(value)) };
  },
  bf16: (elements) => {
    const values = new Uint16Array(elements);
    return { bytes: bytesOf(values), set: (at, value) => void (values[at] = f32ToBf16(value)) };
  },
};

async function packFloats(layout: PanelLayout, encoding: FloatEncoding, read: RowReader): Promise<Packed> {
  const elementBytes = columnBytes(encoding) / panelRows;
  const { bytes, set } = floatWriters[encoding.weights](layoutBytes(layout) / elementBytes);
  const panelElements = panelBytes(layout) / elementBytes;
  await forRows(layout, read, (row, panel, lane) => {
    const start = panel * panelElements + lane;
    for (let k = 0; k < row.length; k++) set(start + k * panelRows, row[k] ?? 0);
  });
  return { form: { kind: "panels", layout }, bytes };
}

/** Quantises into values laid as the panels want them; the exact scales are kept aside until their range is known. */
async function packGroups(layout: PanelLayout, { weights }: GroupEncoding, read: RowReader): Promise<Packed> {
  const format = groupFormats[weights];
  const bytesPerGroup = groupBytes({ weights });
  const groups = paddedColumns(layout) / groupSize;
  const panels = panelCount(layout) * layout.streams;
  const values = new Uint8Array(panels * groups * bytesPerGroup).fill(format.bits === 4 ? format.offset * 17 : format.offset);
  const scales = new Float32Array(panels * groups * panelRows);
  const range = new ScaleRange();
  const u = new Uint8Array(groupSize);
  await forRows(layout, read, (row, panel, lane) => {
    for (let group = 0; group * groupSize < row.length; group++) {
      const elements = row.subarray(group * groupSize, (group + 1) * groupSize);
      const scale = format.scaleOf(elements);
      u.fill(format.offset);
      format.encode(elements, scale, u);
      writeRuns(format, u, values, (panel * groups + group) * bytesPerGroup + lane * runLength);
      scales[(panel * groups + group) * panelRows + lane] = scale;
      range.add(scale);
    }
  });
  return assembleGroups({ ...layout, encoding: { weights, scales: range.storage().format } }, range.storage(), values, scales);
}

/** Values and scales, each in order of panels and groups, into the blocks of the packed matrix. */
function assembleGroups(
  layout: PanelLayout & { readonly encoding: GroupEncoding },
  storage: ScaleStorage,
  values: Uint8Array,
  scales: Float32Array,
): Packed {
  const { encoding } = layout;
  const packed = new Uint8Array(layoutBytes(layout));
  new DataView(packed.buffer, 0, headerBytes).setFloat32(0, 2 ** -storage.exponent, true);
  const bytesPerGroup = groupBytes(encoding);
  const groups = paddedColumns(layout) / groupSize;
  const groupsPerBlock = blockSize / groupSize;
  for (let i = 0; i * bytesPerGroup < values.length; i++) {
    const group = i % groups;
    const block =
      panelsStart(layout) + Math.floor(i / groups) * panelBytes(layout) + Math.floor(group / groupsPerBlock) * blockBytes(encoding);
    const offsets = groupOffsets(encoding, group % groupsPerBlock);
    writeScales(packed, block + offsets.scales, scales.subarray(i * panelRows, (i + 1) * panelRows), storage);
    packed.set(values.subarray(i * bytesPerGroup, (i + 1) * bytesPerGroup), block + offsets.values);
  }
  return { form: { kind: "panels", layout }, bytes: packed };
}

/** 32 values of one row into a group's bytes from byte `at`, in runs of four; with 4 bits, even runs are low nibbles and odd ones high. */
function writeRuns({ bits }: GroupFormat, u: Uint8Array, values: Uint8Array, at: number): void {
  const planes = 8 / bits;
  for (let k = 0; k < groupSize; k++) {
    const run = Math.floor(k / runLength);
    const index = at + Math.floor(run / planes) * panelRows * runLength + (k % runLength);
    const shift = bits * (run % planes);
    const mask = (2 ** bits - 1) << shift;
    values[index] = ((values[index] ?? 0) & ~mask) | ((u[k] ?? 0) << shift);
  }
}

function writeScales(packed: Uint8Array, at: number, scales: Float32Array, storage: ScaleStorage): void {
  const view = new DataView(packed.buffer, at, scaleRowBytes(storage.format));
  scales.forEach((scale, lane) => {
    const stored = storedScale(scale, storage);
    if (storage.format === "f32") view.setFloat32(lane * 4, stored, true);
    else view.setUint16(lane * 2, f32ToF16(stored), true);
  });
}
