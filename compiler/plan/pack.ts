/**
 * Packs constants into the form that kernels read (kernel/library/panels), a few panels at a time: the packer's own memory is bounded,
 * whatever the size of the constant. Matrices in groups are gone through twice, for all their scales are stored alike: once to see the
 * range of the scales, once to pack. Of up to 64 M weights the first pass keeps what it read; larger ones are read again.
 */
import { internal } from "../errors.ts";
import { headerBytes, isGrouped, panelBytes, panelCount, panelRows, type PanelLayout } from "../kernel/library/panels.ts";
import { roundUp } from "../numeric/quantize.ts";
import { ropeTables } from "../numeric/rope.ts";
import { groupFormats, ScaleRange, type GroupFormat, type Groups, type ScaleStorage } from "../numeric/weight-groups.ts";
import type { PackedConstant, PackedForm } from "./constants.ts";
import { floatPanelPacker, groupedPanelPacker, type GroupedLayout, type PanelPacker } from "./panel-packers.ts";

/** Reads rows start…start+count-1 of the constant's checkpoint matrix [rows, last axis], sources stacked. */
export interface ConstantRows {
  readonly rows: (start: number, count: number) => Promise<Float32Array>;
  readonly groups: (format: GroupFormat, start: number, count: number) => Promise<Groups>;
}

/** A constant's form as packed (how scales are stored is known only once all weights were seen), and its bytes: packedBytes of that form. */
export interface Packed {
  readonly form: PackedForm;
  readonly pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** What the packer may hold, in weights. */
export interface PackLimits {
  /** Read at a time; at least one panel of each stream is. */
  readonly run: number;
  /** The largest matrix that is kept between its two readings instead of being read again. */
  readonly kept: number;
}

const standardLimits: PackLimits = { run: 2 ** 20, kept: 2 ** 26 };

/**
 * Packs one constant from its checkpoint rows: [matrices, streams, rows, columns] where it is panels. What `read` throws is thrown here or
 * by the pieces.
 */
export async function packConstant({ name, form, shape }: PackedConstant, read: ConstantRows, limits = standardLimits): Promise<Packed> {
  switch (form.kind) {
    case "panels":
      return await packPanels(form.layout, read, limits);
    case "vector": {
      // A vector's one axis is its last: it is a single row.
      const [values, length] = [await read.rows(0, 1), roundUp(form.length, panelRows)];
      const packed = new Float32Array(form.streams * length);
      for (let stream = 0; stream < form.streams; stream++)
        packed.set(values.subarray(stream * form.length, (stream + 1) * form.length), stream * length);
      return { form, pieces: [bytesOf(packed)] };
    }
    case "taps": {
      const [values, channels] = [await read.rows(0, shape[0] ?? internal(`${name} has no shape`)), roundUp(form.channels, panelRows)];
      const packed = new Float32Array(form.width * channels);
      values.forEach((value, i) => {
        packed[(i % form.width) * channels + Math.floor(i / form.width)] = value;
      });
      return { form, pieces: [bytesOf(packed)] };
    }
    case "rope":
      return { form, pieces: [bytesOf(ropeTables(form.headSize, form.base, form.context)[form.table])] };
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function packPanels(layout: PanelLayout, read: ConstantRows, { run, kept }: PackLimits): Promise<Packed> {
  const { encoding, matrices, streams, rows, columns } = layout;
  if (!isGrouped(encoding)) {
    const runs = readRuns(layout, read.rows, run);
    return { form: { kind: "panels", layout }, pieces: packRuns(layout, runs, floatPanelPacker(layout, encoding)) };
  }
  const readGroups: RangeReader<Groups> = (start, count) => read.groups(groupFormats[encoding.weights], start, count);
  const source = matrices * streams * rows * columns <= kept ? keeping(readGroups) : readGroups;
  const storage = await findStorage(readRuns(layout, source, run));
  const packed = { ...layout, encoding: { ...encoding, scales: storage.format } };
  const runs = readRuns(layout, source, run);
  return { form: { kind: "panels", layout: packed }, pieces: packGroups(packed, storage, runs) };
}

/** Reads rows start…start+count-1. */
type RangeReader<Rows> = (start: number, count: number) => Promise<Rows>;

/** Reads each range of rows once, however often it is asked for. */
function keeping<Rows>(read: RangeReader<Rows>): RangeReader<Rows> {
  const kept = new Map<number, Rows>();
  return async (start, count) => {
    const rows = kept.get(start) ?? (await read(start, count));
    kept.set(start, rows);
    return rows;
  };
}

/** A few panels of one matrix: the rows of each stream, of which the last panel may lack some. */
interface Run<Rows> {
  readonly panels: number;
  readonly streams: readonly Rows[];
}

/** All panels of a constant in the order in which they are packed. */
async function* readRuns<Rows>(layout: PanelLayout, read: RangeReader<Rows>, elements: number): AsyncGenerator<Run<Rows>> {
  const { matrices, streams, rows, columns } = layout;
  const most = Math.max(1, Math.floor(elements / (streams * panelRows * columns)));
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let panel = 0; panel < panelCount(layout); panel += most) {
      const panels = Math.min(most, panelCount(layout) - panel);
      const start = panel * panelRows;
      const count = Math.min(panels * panelRows, rows - start);
      const values: Rows[] = [];
      for (let stream = 0; stream < streams; stream++) values.push(await read((matrix * streams + stream) * rows + start, count));
      yield { panels, streams: values };
    }
  }
}

/** One piece a run; the panels of streams are interleaved. */
async function* packRuns<Rows>(layout: PanelLayout, runs: AsyncIterable<Run<Rows>>, pack: PanelPacker<Rows>): AsyncGenerator<Uint8Array> {
  const bytes = panelBytes(layout);
  for await (const { panels, streams } of runs) {
    const piece = new Uint8Array(panels * streams.length * bytes);
    streams.forEach((rows, stream) => {
      for (let panel = 0; panel < panels; panel++) {
        const at = (panel * streams.length + stream) * bytes;
        pack(rows, panel * panelRows, piece.subarray(at, at + bytes));
      }
    });
    yield piece;
  }
}

/** The header that undoes the exponent of the scales, then the panels. */
async function* packGroups(layout: GroupedLayout, storage: ScaleStorage, runs: AsyncIterable<Run<Groups>>): AsyncGenerator<Uint8Array> {
  const header = new Uint8Array(headerBytes);
  new DataView(header.buffer).setFloat32(0, 2 ** -storage.exponent, true);
  yield header;
  yield* packRuns(layout, runs, groupedPanelPacker(layout, storage));
}

/** The storage that holds the scales of all groups. */
async function findStorage(runs: AsyncIterable<Run<Groups>>): Promise<ScaleStorage> {
  const range = new ScaleRange();
  for await (const { streams } of runs) for (const groups of streams) range.add(groups);
  return range.storage();
}
