/**
 * Packing: what lies in the panels is what numeric/weight-groups and numeric/half say, at the places that kernel/library/panels names,
 * however few rows are read at a time. The packer here follows that page's words alone, byte after byte.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packedBytes, type PackedConstant, type PackedForm } from "../../compiler/plan/constants.ts";
import { packConstant, type PackLimits, type ConstantRows } from "../../compiler/plan/pack.ts";
import {
  isGrouped,
  type FloatEncoding,
  type GroupEncoding,
  type PanelEncoding,
  type PanelLayout,
} from "../../compiler/kernel/library/panels.ts";
import { f32ToBf16, f32ToF16 } from "../../compiler/numeric/half.ts";
import { groupFormats, quantizeRows, type ScaleFormat } from "../../compiler/numeric/weight-groups.ts";
import { quantizeWeights } from "../numeric/matrices.ts";
import { ropeTables } from "../../compiler/numeric/rope.ts";
import { seededBy, type Random } from "../conformance/random.ts";

type Shape = Omit<PanelLayout, "encoding">;

/** Rows that are not 16, columns that are not 4, 8, 32 or 64, and some that are. */
const shapes: readonly Shape[] = [
  { matrices: 1, streams: 1, rows: 1, columns: 1 },
  { matrices: 1, streams: 1, rows: 16, columns: 64 },
  { matrices: 3, streams: 1, rows: 33, columns: 131 },
  { matrices: 1, streams: 2, rows: 16, columns: 32 },
  { matrices: 2, streams: 2, rows: 17, columns: 65 },
  { matrices: 1, streams: 3, rows: 5, columns: 96 },
  { matrices: 4, streams: 3, rows: 31, columns: 7 },
];

const encodings: readonly PanelEncoding[] = [
  { weights: "f32" },
  { weights: "f16" },
  { weights: "bf16" },
  { weights: "q3_0", scales: "f16" },
  { weights: "q4_0", scales: "f16" },
  { weights: "q4_1", scales: "f16" },
  { weights: "q8_0", scales: "f16" },
];

/** Bytes that are written one after the other, little-endian. */
class Bytes {
  readonly #bytes: number[] = [];

  u8(value: number): void {
    this.#bytes.push(value);
  }

  u16(value: number): void {
    this.#bytes.push(value & 255, value >> 8);
  }

  f32(value: number): void {
    this.#bytes.push(...new Uint8Array(Float32Array.of(value).buffer));
  }

  all(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Calls `each` with the 16 rows of every panel in the order of panels; null is a row of padding. */
function forPanels({ matrices, streams, rows }: Shape, each: (rows: readonly (number | null)[]) => void): void {
  for (let matrix = 0; matrix < matrices; matrix++)
    for (let first = 0; first < rows; first += 16)
      for (let stream = 0; stream < streams; stream++)
        each(Array.from({ length: 16 }, (_, lane) => (first + lane < rows ? (matrix * streams + stream) * rows + first + lane : null)));
}

function plainFloats(shape: Shape, { weights }: FloatEncoding, values: Float32Array): Uint8Array {
  const bytes = new Bytes();
  forPanels(shape, (rows) => {
    for (let column = 0; column < shape.columns; column++) {
      for (const row of rows) {
        const value = row === null ? 0 : (values[row * shape.columns + column] ?? NaN);
        if (weights === "f32") bytes.f32(value);
        else bytes.u16(weights === "f16" ? f32ToF16(value) : f32ToBf16(value));
      }
    }
  });
  return bytes.all();
}

function plainGroups(shape: Shape, { weights }: GroupEncoding, values: Float32Array): Uint8Array {
  const format = groupFormats[weights];
  const rowCount = shape.matrices * shape.streams * shape.rows;
  const { columns, u, scales, minimums, format: stored, exponent } = quantizeWeights(format, values, rowCount, shape.columns);
  const numberAt = (row: number | null, column: number): number => (row === null ? format.offset : (u[row * columns + column] ?? NaN));
  const bytes = new Bytes();
  const writeScale = (scale: number): void => {
    if (stored === "f16") bytes.u16(f32ToF16(scale));
    else bytes.f32(scale);
  };
  bytes.f32(2 ** -exponent);
  for (let i = 4; i < 64; i++) bytes.u8(0);
  forPanels(shape, (rows) => {
    for (let block = 0; block < columns; block += 64) {
      const both = [block, block + 32];
      for (const group of both) for (const row of rows) writeScale(row === null ? 2 ** -14 : (scales[(row * columns + group) / 32] ?? NaN));
      for (const group of minimums ? both : [])
        for (const row of rows) writeScale(row === null ? 0 : (minimums?.[(row * columns + group) / 32] ?? NaN));
      for (const group of both)
        for (const byte of groupBytes(format.bits, (lane, k) => numberAt(rows[lane] ?? null, group + k))) bytes.u8(byte);
    }
  });
  return bytes.all();
}

/** The bytes of 16 rows and 32 columns of numbers. */
function groupBytes(bits: number, numberAt: (lane: number, column: number) => number): readonly number[] {
  const words = (count: number, byteOf: (lane: number, word: number, c: number) => number): readonly number[] =>
    Array.from({ length: 64 * count }, (_, i) => byteOf((i % 64) >> 2, i >> 6, i % 4));
  if (bits === 8) return words(8, (lane, word, c) => numberAt(lane, 4 * word + c));
  const nibbles = (lane: number, word: number, c: number): number => numberAt(lane, 8 * word + c) + 16 * numberAt(lane, 8 * word + 4 + c);
  if (bits === 4) return words(4, nibbles);
  // The last eight columns are spread over the others, bit by bit.
  return words(3, (lane, word, c) => {
    const bitOf = (column: number): number => (numberAt(lane, column) >> word) & 1;
    return nibbles(lane, word, c) + 8 * bitOf(24 + c) + 128 * bitOf(28 + c);
  });
}

/** The checkpoint's matrix: [matrices, streams, rows, columns]. */
type Weights = (row: number, column: number, random: Random) => number;

const between = (random: Random): number => random.unit() - 0.5;
const weightsOf = {
  ordinary: (_row, _column, random) => between(random),
  "of subnormal scales": (_row, _column, random) => between(random) * 2 ** -12,
  "of scales above a half's range": (_row, _column, random) => between(random) * 2 ** 22,
  "of scales too far apart": (row, _column, random) => between(random) * (row % 2 === 0 ? 2 ** -30 : 2 ** 10),
  // Equal extremes of both signs, and halves of steps.
  "of few values": (_row, _column, random) => random.below(17) / 8 - 1,
  "of groups that count as zero": (_row, column, random) => between(random) * (column < 32 ? 2 ** -121 : 1),
  "of zeros": () => 0,
} as const satisfies Readonly<Record<string, Weights>>;

function valuesOf({ matrices, streams, rows, columns }: Shape, weights: Weights, seed: string): Float32Array {
  const random = seededBy(seed);
  return Float32Array.from({ length: matrices * streams * rows * columns }, (_, i) =>
    weights(Math.floor(i / columns), i % columns, random),
  );
}

interface Whole {
  readonly form: PackedForm;
  readonly bytes: Uint8Array;
}

type RowReader = ConstantRows["rows"];

/** A constant of these rows, rounded where it lies in groups. */
function roundedRows(rows: RowReader): ConstantRows {
  return {
    rows,
    groups: async (format, start, count) => {
      const values = await rows(start, count);
      return quantizeRows(format, values, count, values.length / count);
    },
  };
}

async function packWith(rows: RowReader, form: PackedForm, shape: readonly number[], limits?: PackLimits): Promise<Whole> {
  const constant: PackedConstant = { name: "w", form, shape, encoding: "q4_0", sources: [] };
  const packed = await packConstant(constant, roundedRows(rows), limits);
  const pieces: Uint8Array[] = [];
  for await (const piece of packed.pieces) pieces.push(piece);
  const bytes = new Uint8Array(Buffer.concat(pieces));
  expect(bytes.length).toBe(packedBytes(packed.form));
  return { form: packed.form, bytes };
}

async function pack(form: PackedForm, values: Float32Array, shape: readonly number[], limits?: PackLimits): Promise<Whole> {
  const columns = shape.at(-1) ?? 1;
  return await packWith((start, count) => Promise.resolve(values.slice(start * columns, (start + count) * columns)), form, shape, limits);
}

/** Packs panels and compares them with the plain packer's; returns what the header and the format say. */
async function expectPlain(
  { encoding, ...shape }: PanelLayout,
  values: Float32Array,
  limits?: PackLimits,
): Promise<{ readonly unscale: number; readonly format: ScaleFormat | null }> {
  const { matrices, streams, rows, columns } = shape;
  const { form, bytes } = await pack(
    { kind: "panels", layout: { encoding, ...shape } },
    values,
    [matrices * streams * rows, columns],
    limits,
  );
  const plain = isGrouped(encoding) ? plainGroups(shape, encoding, values) : plainFloats(shape, encoding, values);
  expect(bytes.length).toBe(plain.length);
  const wrong = bytes.findIndex((byte, i) => byte !== plain[i]);
  expect(wrong, `byte ${wrong} is ${bytes[wrong]} and should be ${plain[wrong]}`).toBe(-1);
  const packed = form.kind === "panels" && isGrouped(form.layout.encoding) ? form.layout.encoding.scales : null;
  return { unscale: new DataView(bytes.buffer).getFloat32(0, true), format: packed };
}

const byName = encodings.map((encoding) => ({ weights: encoding.weights, encoding }));

describe.each(byName)("$weights panels", ({ encoding }) => {
  test.each(shapes)("$matrices matrices, $streams streams of $rows x $columns", async (shape) => {
    await expectPlain({ ...shape, encoding }, valuesOf(shape, weightsOf.ordinary, "w"));
  });

  test("any shape, any weights, read in runs of any size, once or twice", async () => {
    const any = fc.record({
      matrices: fc.integer({ min: 1, max: 3 }),
      streams: fc.integer({ min: 1, max: 3 }),
      rows: fc.integer({ min: 1, max: 50 }),
      columns: fc.integer({ min: 1, max: 140 }),
      kind: fc.constantFrom(...Object.values(weightsOf)),
      run: fc.integer({ min: 1, max: 6000 }),
      kept: fc.constantFrom(0, Infinity),
    });
    await fc.assert(
      fc.asyncProperty(any, async ({ kind, run, kept, ...shape }) => {
        await expectPlain({ ...shape, encoding }, valuesOf(shape, kind, "any"), { run, kept });
      }),
      { numRuns: 60 },
    );
  });
});

describe("scales", () => {
  const shape: Shape = { matrices: 2, streams: 2, rows: 19, columns: 70 };
  const layout: PanelLayout = { ...shape, encoding: { weights: "q4_0", scales: "f16" } };
  const pairs = async (kind: keyof typeof weightsOf) => await expectPlain(layout, valuesOf(shape, weightsOf[kind], kind));

  test("in a half's range they are stored as they are", async () => {
    for (const kind of ["ordinary", "of zeros", "of groups that count as zero"] as const)
      expect(await pairs(kind), kind).toEqual({ unscale: 1, format: "f16" });
  });

  test("subnormal ones move the exponent into the header", async () => {
    const { unscale, format } = await pairs("of subnormal scales");
    expect(format).toBe("f16");
    expect(unscale).toBeLessThan(1);
  });

  test("those above a half's range move it the other way", async () => {
    const { unscale, format } = await pairs("of scales above a half's range");
    expect(format).toBe("f16");
    expect(unscale).toBeGreaterThan(1);
  });

  test("those too far apart are f32", async () => {
    expect(await pairs("of scales too far apart")).toEqual({ unscale: 1, format: "f32" });
  });

  test.each([19, 32])("one far scale in the last of %d rows of the last matrix is seen before the first panel is packed", async (rows) => {
    const values = valuesOf({ ...shape, rows }, weightsOf.ordinary, "last");
    values.fill(2 ** 30, values.length - 6);
    expect(await expectPlain({ ...layout, rows }, values, { run: 1, kept: 0 })).toEqual({ unscale: 1, format: "f32" });
  });
});

describe("reading", () => {
  const shape: Shape = { matrices: 2, streams: 2, rows: 40, columns: 32 };
  const form = (encoding: PanelEncoding): PackedForm => ({ kind: "panels", layout: { ...shape, encoding } });
  const q8 = form({ weights: "q8_0", scales: "f16" });
  const run = 2 * 2 * 16 * 32;

  /** A reader of ones that lists the ranges it is asked for, and fails at the one of this index. */
  function listing(failing = Infinity): { readonly ranges: [number, number][]; readonly read: RowReader } {
    const ranges: [number, number][] = [];
    const read: RowReader = (start, count) => {
      ranges.push([start, count]);
      return ranges.length > failing ? Promise.reject(new Error("unreadable")) : Promise.resolve(new Float32Array(count * 32).fill(1));
    };
    return { ranges, read };
  }

  // Two panels of each stream, then the third, of eight rows.
  const once = [0, 80].flatMap((matrix) => [
    [matrix, 32],
    [matrix + 40, 32],
    [matrix + 32, 8],
    [matrix + 72, 8],
  ]);

  test.each([
    { name: "floats are read once", packed: form({ weights: "f32" }), kept: 0, expected: once },
    { name: "groups are read twice", packed: q8, kept: 0, expected: [...once, ...once] },
    { name: "small groups are read once", packed: q8, kept: 2 * 2 * 40 * 32, expected: once },
    { name: "groups a row larger are not", packed: q8, kept: 2 * 2 * 40 * 32 - 1, expected: [...once, ...once] },
  ])("$name, a run at a time", async ({ packed, kept, expected }) => {
    const { ranges, read } = listing();
    await packWith(read, packed, [160, 32], { run, kept });
    expect(ranges).toEqual(expected);
  });

  test.each([0, 3, 7, 8, 15])("what the reader throws at read %d is passed on", async (failing) => {
    await expect(packWith(listing(failing).read, q8, [160, 32], { run, kept: 0 })).rejects.toThrow("unreadable");
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
