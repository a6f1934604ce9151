/**
 * Packing: what lies in the panels is what numeric/quantize says, at the places that kernel/library/panels names. The panels are
 * read back here by that page's words alone.
 */

import { describe, expect, test } from "vitest";
import type { PackedConstant, PackedForm } from "../../compiler/plan/constants.ts";
import { packConstant, type Packed } from "../../compiler/plan/pack.ts";
import { layoutBytes, type PanelLayout } from "../../compiler/kernel/library/panels.ts";
import { f16ToF32 } from "../../compiler/numeric/half.ts";
import { groupFormats, quantizeWeights, type ScaleFormat } from "../../compiler/numeric/weight-groups.ts";
import { ropeTables } from "../../compiler/numeric/rope.ts";
import { seededBy } from "../conformance/random.ts";

interface Shape {
  readonly streams: number;
  readonly rows: number;
  readonly columns: number;
}

/** Rows that are not 16, columns that are not 4, 8, 32 or 64, and some that are. */
const shapes: readonly Shape[] = [
  { streams: 1, rows: 1, columns: 1 },
  { streams: 1, rows: 16, columns: 64 },
  { streams: 1, rows: 33, columns: 131 },
  { streams: 2, rows: 16, columns: 32 },
  { streams: 2, rows: 17, columns: 65 },
  { streams: 3, rows: 5, columns: 96 },
  { streams: 3, rows: 31, columns: 7 },
];

/** The checkpoint's matrix: the streams' rows stacked, row by row. */
type Weights = (row: number, column: number) => number;

function ordinary(seed: string, factor = 1): Weights {
  return (row, column) => Math.fround((seededBy(`${seed} ${row} ${column}`).unit() - 0.5) * factor);
}

function stacked({ streams, rows, columns }: Shape, weights: Weights): Float32Array {
  return Float32Array.from({ length: streams * rows * columns }, (_, i) => weights(Math.floor(i / columns), i % columns));
}

async function pack(form: PackedForm, values: Float32Array, shape: readonly number[]): Promise<Packed> {
  const columns = shape.at(-1) ?? 1;
  const constant: PackedConstant = { name: "w", form, shape, encoding: "q4_0", sources: [] };
  return await packConstant(constant, (start, count) => Promise.resolve(values.slice(start * columns, (start + count) * columns)));
}

function layoutOf({ streams, rows, columns }: Shape, weights: "f32" | "q4_0"): PanelLayout {
  return { encoding: weights === "f32" ? { weights } : { weights, scales: "f16" }, streams, rows, columns };
}

interface Unpacked {
  readonly u: readonly number[];
  readonly scales: readonly number[];
}

/** Row `lane` of panel `panel`: a 64-byte header; blocks of 64 columns: two groups' scales of 16 rows, then two groups of 256 bytes. */
function unpackRow(bytes: Uint8Array, format: ScaleFormat, blocks: number, panel: number, lane: number): Unpacked {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scaleBytes = format === "f16" ? 2 : 4;
  const blockBytes = 2 * 16 * scaleBytes + 2 * 256;
  const u: number[] = [];
  const scales: number[] = [];
  for (let group = 0; group < 2 * blocks; group++) {
    const block = 64 + (panel * blocks + (group >> 1)) * blockBytes;
    const scaleAt = block + ((group & 1) * 16 + lane) * scaleBytes;
    scales.push(format === "f16" ? f16ToF32(view.getUint16(scaleAt, true)) : view.getFloat32(scaleAt, true));
    const nibbles = block + 2 * 16 * scaleBytes + (group & 1) * 256;
    for (let column = 0; column < 32; column++) {
      const byte = view.getUint8(nibbles + 64 * (column >> 3) + 4 * lane + (column & 3));
      u.push(column & 4 ? byte >> 4 : byte & 15);
    }
  }
  return { u, scales };
}

function formatOf({ form }: Packed): ScaleFormat {
  if (form.kind === "panels" && form.layout.encoding.weights === "q4_0") return form.layout.encoding.scales;
  throw new Error("no q4_0 panels");
}

/** Compares every row of every stream, the padding's too, with numeric/quantize; returns what the header and the format say. */
async function expectQuantized(shape: Shape, weights: Weights): Promise<{ readonly unscale: number; readonly format: ScaleFormat }> {
  const { streams, rows, columns } = shape;
  const values = stacked(shape, weights);
  const expected = quantizeWeights(groupFormats.q4_0, values, streams * rows, columns);
  const packed = await pack({ kind: "panels", layout: layoutOf(shape, "q4_0") }, values, [streams * rows, columns]);
  const format = formatOf(packed);
  expect(format).toBe(expected.format);
  expect(packed.bytes.length).toBe(packed.form.kind === "panels" ? layoutBytes(packed.form.layout) : 0);
  const unscale = new DataView(packed.bytes.buffer, packed.bytes.byteOffset).getFloat32(0, true);
  expect(unscale).toBe(2 ** -expected.exponent);
  const groups = expected.columns / 32;
  for (let stream = 0; stream < streams; stream++) {
    for (let row = 0; row < Math.ceil(rows / 16) * 16; row++) {
      const found = unpackRow(packed.bytes, format, expected.columns / 64, (row >> 4) * streams + stream, row & 15);
      const source = stream * rows + row;
      const isPadding = row >= rows;
      const u = isPadding
        ? new Array<number>(expected.columns).fill(8)
        : [...expected.u.subarray(source * expected.columns, (source + 1) * expected.columns)];
      expect(found.u, `stream ${stream} row ${row}`).toEqual(u);
      if (!isPadding) expect(found.scales).toEqual([...expected.scales.subarray(source * groups, (source + 1) * groups)]);
      else for (const scale of found.scales) expect(Math.abs(scale)).toBeGreaterThanOrEqual(2 ** -14);
    }
  }
  return { unscale, format };
}

describe("q4_0 panels hold what quantizeQ4 gives", () => {
  test.each(shapes)("$streams streams of $rows x $columns", async (shape) => {
    expect(await expectQuantized(shape, ordinary("w"))).toEqual({ unscale: 1, format: "f16" });
  });

  const shape: Shape = { streams: 2, rows: 19, columns: 70 };

  test("subnormal scales move the exponent into the header", async () => {
    const { unscale, format } = await expectQuantized(shape, ordinary("small", 2 ** -12));
    expect(format).toBe("f16");
    expect(unscale).toBeLessThan(1);
  });

  test("scales above a half's range move it the other way", async () => {
    const { unscale, format } = await expectQuantized(shape, ordinary("large", 2 ** 22));
    expect(format).toBe("f16");
    expect(unscale).toBeGreaterThan(1);
  });

  test("scales too far apart are f32", async () => {
    const { unscale, format } = await expectQuantized(shape, (row, column) =>
      ordinary("wide", row % 2 === 0 ? 2 ** -30 : 2 ** 10)(row, column),
    );
    expect({ unscale, format }).toEqual({ unscale: 1, format: "f32" });
  });

  test("groups of zeros, and a matrix of nothing else", async () => {
    await expectQuantized(shape, (row, column) => (column < 32 ? 0 : ordinary("half")(row, column)));
    expect(await expectQuantized(shape, () => 0)).toEqual({ unscale: 1, format: "f16" });
  });

  test("more rows than are read at a time", async () => {
    await expectQuantized({ streams: 2, rows: 150, columns: 8192 }, (row, column) =>
      Math.fround(((row * 31 + column * 17) % 97) / 97 - 0.4),
    );
  });
});

test.each(shapes)("f32 panels: $streams streams of $rows x $columns are columns of 16 rows", async (shape) => {
  const { streams, rows, columns } = shape;
  const values = stacked(shape, ordinary("f"));
  const { bytes } = await pack({ kind: "panels", layout: layoutOf(shape, "f32") }, values, [streams * rows, columns]);
  const found = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  expect(found.length).toBe(Math.ceil(rows / 16) * streams * columns * 16);
  found.forEach((value, i) => {
    const [lane, column, panel] = [i % 16, Math.floor(i / 16) % columns, Math.floor(i / 16 / columns)];
    const row = Math.floor(panel / streams) * 16 + lane;
    const source = ((panel % streams) * rows + row) * columns + column;
    if (value !== (row < rows ? values[source] : 0)) throw new Error(`panel ${panel}, column ${column}, lane ${lane} holds ${value}`);
  });
});

test("a vector's streams are padded to 16 each", async () => {
  const values = Float32Array.from({ length: 3 * 18 }, (_, i) => i + 1);
  const { bytes } = await pack({ kind: "vector", streams: 3, length: 18 }, values, [54]);
  const found = [...new Float32Array(bytes.buffer)];
  expect(found).toEqual(
    [0, 1, 2].flatMap((stream) => [...values.subarray(stream * 18, stream * 18 + 18), ...new Array<number>(14).fill(0)]),
  );
});

test("taps lie tap by tap, oldest first, channels padded to 16", async () => {
  const values = Float32Array.from({ length: 18 * 3 }, (_, i) => i + 1);
  const { bytes } = await pack({ kind: "taps", width: 3, channels: 18 }, values, [18, 3]);
  const found = new Float32Array(bytes.buffer);
  expect(found.length).toBe(3 * 32);
  for (let tap = 0; tap < 3; tap++) {
    for (let channel = 0; channel < 32; channel++) {
      expect(found[tap * 32 + channel]).toBe(channel < 18 ? values[channel * 3 + tap] : 0);
    }
  }
});

test.each(["low", "high"] as const)("the %s rope table is numeric/rope's", async (table) => {
  const { bytes } = await pack({ kind: "rope", table, headSize: 12, base: 1e6, context: 700 }, new Float32Array(), [0, 12]);
  expect([...new Float32Array(bytes.buffer)]).toEqual([...ropeTables(12, 1e6, 700)[table]]);
});
