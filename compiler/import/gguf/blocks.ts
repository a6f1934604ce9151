/**
 * The types in which a GGUF file may hold a tensor: one row a type. Types of floats are read as those of safetensors are. All others are
 * blocks of small numbers u in groups that share a scale, w = scale * (u - offset) + minimum, and a row says how to take one apart.
 * Formulas are those of ggml's dequantize_row_*; products of a block's scale and a group's are rounded to binary32, as there.
 */
import type { WeightEncoding } from "../../graph/types.ts";
import { f16ToF32 } from "../../numeric/half.ts";
import type { GroupFormat, GroupFormatName } from "../../numeric/weight-groups.ts";
import { keptFloats, type FloatType } from "../weight-store.ts";

const f = Math.fround;

interface TypeFacts {
  /** ggml's number of the type. */
  readonly id: number;
  /** A row's values are a multiple of these, and so many of them take `bytes`. */
  readonly values: number;
  readonly bytes: number;
  readonly keep: WeightEncoding;
}

export interface FloatRow extends TypeFacts {
  readonly kind: "float";
  readonly name: FloatType;
}

/** Where the numbers of blocks go; scales and minimums are one a group. */
export interface BlockNumbers {
  readonly u: Uint8Array;
  readonly scales: Float32Array;
  readonly minimums: Float32Array;
}

export interface BlockRow extends TypeFacts {
  readonly kind: "blocks";
  readonly name: string;
  /** Values that share a scale. */
  readonly group: 16 | 32;
  readonly offset: number;
  readonly hasMinimums: boolean;
  readonly keep: GroupFormatName;
  /** Whether groups of `keep` hold the numbers as they are; else the rows are rounded to `keep`, which is finer. */
  readonly exact: boolean;
  /** Takes apart the block at byte `at`: its numbers to u[uAt…], its scales (and minimums) to scales[scaleAt…]. */
  readonly unpack: (source: DataView, at: number, to: BlockNumbers, uAt: number, scaleAt: number) => void;
}

/** A type of GGUF tensors. */
export type BlockType = FloatRow | BlockRow;

const floatRow = (id: number, name: FloatType, bytes: number): FloatRow => ({
  kind: "float",
  id,
  name,
  values: 1,
  bytes,
  keep: keptFloats[name],
});

const half = (source: DataView, at: number): number => f16ToF32(source.getUint16(at, true));

/** Bytes whose low nibbles are 16 values and whose high nibbles are the next 16. */
function unpackNibbles(source: DataView, at: number, u: Uint8Array, uAt: number): void {
  for (let j = 0; j < 16; j++) {
    const byte = source.getUint8(at + j);
    u[uAt + j] = byte & 15;
    u[uAt + j + 16] = byte >> 4;
  }
}

/** Adds the fifth bits: bit j of the word at `at` is that of value j. */
function addFifthBits(source: DataView, at: number, u: Uint8Array, uAt: number): void {
  const bits = source.getUint32(at, true);
  for (let j = 0; j < 32; j++) u[uAt + j] = (u[uAt + j] ?? 0) | (((bits >>> j) & 1) << 4);
}

/** The 6-bit scale and minimum of group `j` of a Q4_K or Q5_K block, whose 12 bytes of them begin at `at` (ggml's get_scale_min_k4). */
function scaleAndMinimum(source: DataView, at: number, j: number): readonly [scale: number, minimum: number] {
  const byte = (index: number): number => source.getUint8(at + index);
  if (j < 4) return [byte(j) & 63, byte(j + 4) & 63];
  return [(byte(j + 4) & 15) | ((byte(j - 4) >> 6) << 4), (byte(j + 4) >> 4) | ((byte(j) >> 6) << 4)];
}

/** Scales and minimums of the eight groups of a Q4_K or Q5_K block: d * sc and -(dmin * m). */
function unpackKScales(source: DataView, at: number, { scales, minimums }: BlockNumbers, scaleAt: number): void {
  const [d, dmin] = [half(source, at), half(source, at + 2)];
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = scaleAndMinimum(source, at + 4, j);
    scales[scaleAt + j] = f(d * scale);
    minimums[scaleAt + j] = -f(dmin * minimum);
  }
}

/** 128 bytes: of each 32 the low nibbles are one group of Q4_K or Q5_K, the high ones the next. */
function unpackKNibbles(source: DataView, at: number, u: Uint8Array, uAt: number): void {
  for (let i = 0; i < 128; i++) {
    const byte = source.getUint8(at + i);
    const first = uAt + (i & ~31) * 2 + (i & 31);
    u[first] = byte & 15;
    u[first + 32] = byte >> 4;
  }
}

/** Value i of a Q2_K or Q3_K block's pairs of bits: each half of 128 values has 32 bytes of four. */
function bitPair(source: DataView, at: number, i: number): number {
  return (source.getUint8(at + (i >> 7) * 32 + (i & 31)) >> (((i >> 5) & 3) * 2)) & 3;
}

const rows: readonly BlockType[] = [
  floatRow(0, "F32", 4),
  floatRow(1, "F16", 2),
  floatRow(30, "BF16", 2),
  {
    ...{ kind: "blocks", id: 2, name: "Q4_0", values: 32, bytes: 18, group: 32, offset: 8, hasMinimums: false, keep: "q4_0", exact: true },
    unpack: (source, at, { u, scales }, uAt, scaleAt) => {
      scales[scaleAt] = half(source, at);
      unpackNibbles(source, at + 2, u, uAt);
    },
  },
  {
    ...{ kind: "blocks", id: 3, name: "Q4_1", values: 32, bytes: 20, group: 32, offset: 0, hasMinimums: true, keep: "q4_1", exact: true },
    unpack: (source, at, { u, scales, minimums }, uAt, scaleAt) => {
      scales[scaleAt] = half(source, at);
      minimums[scaleAt] = half(source, at + 2);
      unpackNibbles(source, at + 4, u, uAt);
    },
  },
  {
    ...{ kind: "blocks", id: 6, name: "Q5_0", values: 32, bytes: 22, group: 32, offset: 16, hasMinimums: false, keep: "q8_0", exact: true },
    unpack: (source, at, { u, scales }, uAt, scaleAt) => {
      scales[scaleAt] = half(source, at);
      unpackNibbles(source, at + 6, u, uAt);
      addFifthBits(source, at + 2, u, uAt);
    },
  },
  {
    ...{ kind: "blocks", id: 7, name: "Q5_1", values: 32, bytes: 24, group: 32, offset: 0, hasMinimums: true, keep: "q8_0", exact: false },
    unpack: (source, at, { u, scales, minimums }, uAt, scaleAt) => {
      scales[scaleAt] = half(source, at);
      minimums[scaleAt] = half(source, at + 2);
      unpackNibbles(source, at + 8, u, uAt);
      addFifthBits(source, at + 4, u, uAt);
    },
  },
  {
    ...{
      kind: "blocks",
      id: 8,
      name: "Q8_0",
      values: 32,
      bytes: 34,
      group: 32,
      offset: 128,
      hasMinimums: false,
      keep: "q8_0",
      exact: true,
    },
    unpack: (source, at, { u, scales }, uAt, scaleAt) => {
      scales[scaleAt] = half(source, at);
      for (let j = 0; j < 32; j++) u[uAt + j] = source.getInt8(at + 2 + j) + 128;
    },
  },
  {
    ...{
      kind: "blocks",
      id: 10,
      name: "Q2_K",
      values: 256,
      bytes: 84,
      group: 16,
      offset: 0,
      hasMinimums: true,
      keep: "q8_0",
      exact: false,
    },
    unpack: (source, at, { u, scales, minimums }, uAt, scaleAt) => {
      const [d, dmin] = [half(source, at + 80), half(source, at + 82)];
      for (let j = 0; j < 16; j++) {
        const byte = source.getUint8(at + j);
        scales[scaleAt + j] = f(d * (byte & 15));
        minimums[scaleAt + j] = -f(dmin * (byte >> 4));
      }
      for (let i = 0; i < 256; i++) u[uAt + i] = bitPair(source, at + 16, i);
    },
  },
  {
    ...{
      kind: "blocks",
      id: 11,
      name: "Q3_K",
      values: 256,
      bytes: 110,
      group: 16,
      offset: 4,
      hasMinimums: false,
      keep: "q8_0",
      exact: false,
    },
    unpack: (source, at, { u, scales }, uAt, scaleAt) => {
      const d = half(source, at + 108);
      for (let j = 0; j < 16; j++) {
        // Twelve bytes: eight of two nibbles, the low ones of scales 0 to 7 first, then four of the pairs of bits above the nibbles.
        const nibble = (source.getUint8(at + 96 + (j & 7)) >> ((j >> 3) * 4)) & 15;
        const pair = (source.getUint8(at + 104 + (j & 3)) >> ((j >> 2) * 2)) & 3;
        scales[scaleAt + j] = f(d * ((nibble | (pair << 4)) - 32));
      }
      for (let i = 0; i < 256; i++) {
        const third = (source.getUint8(at + (i & 31)) >> (i >> 5)) & 1;
        u[uAt + i] = bitPair(source, at + 32, i) | (third << 2);
      }
    },
  },
  {
    ...{
      kind: "blocks",
      id: 12,
      name: "Q4_K",
      values: 256,
      bytes: 144,
      group: 32,
      offset: 0,
      hasMinimums: true,
      keep: "q4_1",
      exact: true,
    },
    unpack: (source, at, to, uAt, scaleAt) => {
      unpackKScales(source, at, to, scaleAt);
      unpackKNibbles(source, at + 16, to.u, uAt);
    },
  },
  {
    ...{
      kind: "blocks",
      id: 13,
      name: "Q5_K",
      values: 256,
      bytes: 176,
      group: 32,
      offset: 0,
      hasMinimums: true,
      keep: "q8_0",
      exact: false,
    },
    unpack: (source, at, to, uAt, scaleAt) => {
      unpackKScales(source, at, to, scaleAt);
      unpackKNibbles(source, at + 48, to.u, uAt);
      // Bit g of byte l is the fifth of value l of group g.
      for (let i = 0; i < 256; i++) {
        const bits = source.getUint8(at + 16 + (i & 31));
        to.u[uAt + i] = (to.u[uAt + i] ?? 0) | (((bits >> (i >> 5)) & 1) << 4);
      }
    },
  },
  {
    ...{
      kind: "blocks",
      id: 14,
      name: "Q6_K",
      values: 256,
      bytes: 210,
      group: 16,
      offset: 32,
      hasMinimums: false,
      keep: "q8_0",
      exact: false,
    },
    unpack: (source, at, { u, scales }, uAt, scaleAt) => {
      const d = half(source, at + 208);
      for (let j = 0; j < 16; j++) scales[scaleAt + j] = f(d * source.getInt8(at + 192 + j));
      // Each half of 128 values: 64 bytes of nibbles, 32 bytes of four pairs of bits each.
      for (let i = 0; i < 256; i++) {
        const [halfBlock, quarter, l] = [i >> 7, (i >> 5) & 3, i & 31];
        const nibbles = source.getUint8(at + halfBlock * 64 + (quarter & 1) * 32 + l);
        const pairs = source.getUint8(at + 128 + halfBlock * 32 + l);
        u[uAt + i] = ((nibbles >> ((quarter >> 1) * 4)) & 15) | (((pairs >> (quarter * 2)) & 3) << 4);
      }
    },
  },
];

const byId: ReadonlyMap<number, BlockType> = new Map(rows.map((row) => [row.id, row]));
const byName: ReadonlyMap<string, BlockType> = new Map(rows.map((row) => [row.name, row]));

/** The names of the types that are read, for messages. */
export const readTypes: string = rows.map(({ name }) => name).join(", ");

/** The type of ggml's number `id`; undefined where lfmc does not read it. */
export function blockTypeOf(id: number): BlockType | undefined {
  return byId.get(id);
}

/** The type of this name; undefined where there is none. */
export function blockTypeNamed(name: string): BlockType | undefined {
  return byName.get(name);
}

/** Whether groups of a format hold a type's numbers as they are: the format it is kept in, or one with room around them. */
export function holdsExactly(type: BlockType, format: GroupFormat): boolean {
  if (type.kind !== "blocks" || !type.exact) return false;
  return type.keep === format.name || (!type.hasMinimums && !format.hasMinimums && type.offset <= format.offset && format.bits === 8);
}

/** Bytes of a row of `width` values, a multiple of the type's. */
export function rowBytes({ values, bytes }: Pick<BlockType, "values" | "bytes">, width: number): number {
  return (width / values) * bytes;
}
