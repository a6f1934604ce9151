/**
 * How the cache stores one head's keys and values. Keys come in panels of 16 positions, positions as lanes, so that a query meets 16
 * of them at once; a value is a row. f32 and f16 store elements; q8_0 stores 8-bit groups of 32 along the head with their f32 scales
 * behind them, quantised like activations (numeric/quantize).
 */
import { required } from "../../errors.ts";
import { groupSize, roundUp } from "../../numeric/quantize.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import { f32, vector, type Value } from "../ir.ts";
import { floatToHalf, halfToFloat, roundToInteger, smallerInteger } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16, forChunks, f32Offset, laneCount } from "./lanes.ts";
import { groupScale } from "./quantize.ts";

export type KvFormatName = "f32" | "f16" | "q8_0";

/** Panels of 16 keys that follow each other. */
export interface KeyPanels {
  readonly from: Value;
  readonly count: number;
}

/** How often the body of a loop is written: addresses are computed once for them. */
type Unroll = 1 | 4;

export interface KvFormat {
  readonly name: KvFormatName;
  /** Bytes of a panel: 16 keys of one head. */
  readonly panelBytes: (headSize: number) => number;
  /** Bytes of a value of one head. */
  readonly rowBytes: (headSize: number) => number;
  /** Emits `body` for the head's elements in rising order, d + u, each with a vector f32x16 of every panel: the element of its 16 keys. */
  readonly forKeys: (
    b: KernelBuilder,
    headSize: number,
    panels: KeyPanels,
    unroll: Unroll,
    body: (d: Value, u: number, keys: readonly Value[]) => void,
  ) => void;
  /** Chunk `chunk` + i of a value as f32x16, padding included; an i above 0 asks for an even `chunk`. */
  readonly valueChunk: (b: KernelBuilder, headSize: number, row: Value, chunk: Value, i: number) => Value;
  /** Puts a key, `headSize` f32, into lane `lane` of a panel. */
  readonly writeKey: (b: KernelBuilder, headSize: number, key: Value, panel: Value, lane: Value) => void;
  /** Puts a value, `headSize` f32, into its row; the row's padding becomes 0. */
  readonly writeValue: (b: KernelBuilder, headSize: number, value: Value, row: Value) => void;
}

/** Elements of a cached value: whole chunks. */
export function valueColumns(headSize: number): number {
  return roundUp(headSize, laneCount);
}

/** Emits `body` for each turn of a loop from one multiple of `unroll` to another: the turn is index + u. */
function forUnrolled(
  b: KernelBuilder,
  name: string,
  from: Index,
  to: Index,
  unroll: number,
  body: (index: Value, u: number) => void,
): void {
  b.for(name, from, to, unroll, (index) => {
    for (let u = 0; u < unroll; u++) body(index, u);
  });
}

/** `unroll`, or 1 where that does not divide `count`. */
function unrollOf(count: number, unroll: Unroll): Unroll {
  return count % unroll === 0 ? unroll : 1;
}

/** Writes a panel of 16 keys as the f32 format holds it: [headSize, 16]. */
export function keysToFloats(b: KernelBuilder, { forKeys }: KvFormat, headSize: number, panel: Value, to: Value): void {
  forKeys(b, headSize, { from: panel, count: 1 }, 4, (d, u, [key]) => {
    b.store(required(key, "key"), to, b.mul(d, chunkBytes), u * chunkBytes);
  });
}

/** Writes a value as the f32 format holds it: [valueColumns]. */
export function valueToFloats(b: KernelBuilder, { valueChunk }: KvFormat, headSize: number, row: Value, to: Value): void {
  const chunks = valueColumns(headSize) / laneCount;
  forUnrolled(b, "chunk", 0, chunks, unrollOf(chunks, 4), (chunk, u) => {
    b.store(valueChunk(b, headSize, row, chunk, u), to, b.mul(chunk, chunkBytes), u * chunkBytes);
  });
}

/** How a float format moves elements. */
interface FloatCodec {
  readonly bytes: number;
  /** 16 elements as f32. */
  readonly read: (b: KernelBuilder, pointer: Value, index: Value, offset: number) => Value;
  readonly writeOne: (b: KernelBuilder, x: Value, pointer: Value, index: Value) => void;
  readonly write: (b: KernelBuilder, x: Value, pointer: Value, element: Value) => void;
}

function floatFormat(name: "f32" | "f16", { bytes, read, writeOne, write }: FloatCodec): KvFormat {
  const vectorBytes = laneCount * bytes;
  return {
    name,
    panelBytes: (headSize) => headSize * vectorBytes,
    rowBytes: (headSize) => valueColumns(headSize) * bytes,
    forKeys: (b, headSize, { from, count }, unroll, body) => {
      forUnrolled(b, "d", 0, headSize, unrollOf(headSize, unroll), (d, u) => {
        const at = b.mul(d, vectorBytes);
        const keys = Array.from({ length: count }, (_, i) => read(b, from, at, (i * headSize + u) * vectorBytes));
        body(d, u, keys);
      });
    },
    valueChunk: (b, _, row, chunk, i) => read(b, row, b.mul(chunk, vectorBytes), i * vectorBytes),
    writeKey: (b, headSize, key, panel, lane) => {
      b.for("d", 0, headSize, 1, (d) => {
        writeOne(b, b.load(f32, key, b.mul(d, f32Bytes)), panel, b.add(b.mul(d, vectorBytes), b.mul(lane, bytes)));
      });
    },
    writeValue: (b, headSize, value, row) => {
      forChunks(b, headSize, ({ start, count }) => {
        const x = b.load(f32x16, value, f32Offset(b, start), 0, count);
        write(b, x, row, b.mul(typeof start === "number" ? b.int(start) : start, bytes));
      });
    },
  };
}

const f32Format = floatFormat("f32", {
  bytes: 4,
  read: (b, pointer, index, offset) => b.load(f32x16, pointer, index, offset),
  writeOne: (b, x, pointer, index) => {
    b.store(x, pointer, index);
  },
  write: (b, x, pointer, index) => {
    b.store(x, pointer, index);
  },
});

const f16Format = floatFormat("f16", {
  bytes: 2,
  read: (b, pointer, index, offset) => halfToFloat(b, b.widenS(b.load(vector("i16", laneCount), pointer, index, offset))),
  writeOne: (b, x, pointer, index) => {
    b.store(floatToHalf(b, x), pointer, index, 0, 1, "i16");
  },
  write: (b, x, pointer, index) => {
    // narrowS saturates as signed, so the bits are first read as a signed 16-bit number.
    b.store(b.narrowS(b.shrS(b.shl(floatToHalf(b, x), 16), 16)), pointer, index);
  },
});

/** 16 signed bytes as f32. */
function bytesToFloat(b: KernelBuilder, pointer: Value, index: Value, offset: number): Value {
  return b.toFloat(b.widenS(b.widenS(b.load(vector("i8", laneCount), pointer, index, offset))));
}

const groupsOf = (headSize: number): number => Math.ceil(headSize / groupSize);

/** Emits `body` for each group of a head, with its chunks, the missing lanes of the last being 0. */
function forHeadGroups(
  b: KernelBuilder,
  headSize: number,
  row: Value,
  body: (group: number, chunks: readonly [Value, Value]) => void,
): void {
  const chunk = (start: number): Value => {
    const count = Math.min(laneCount, headSize - start);
    return count > 0 ? b.load(f32x16, row, 0, start * f32Bytes, count) : b.literal(f32x16, 0);
  };
  for (let group = 0; group < groupsOf(headSize); group++) body(group, [chunk(group * groupSize), chunk(group * groupSize + laneCount)]);
}

/** [headSize][16] bytes, then [groups][16] scales. */
function q8PanelBytes(headSize: number): number {
  return headSize * laneCount + groupsOf(headSize) * chunkBytes;
}

const chunksPerGroup = groupSize / laneCount;

const q8Format: KvFormat = {
  name: "q8_0",
  panelBytes: q8PanelBytes,
  // [columns] bytes, then [groups] scales.
  rowBytes: (headSize) => valueColumns(headSize) + groupsOf(headSize) * f32Bytes,
  forKeys: (b, headSize, { from, count }, unroll, body) => {
    const panels = Array.from({ length: count }, (_, i) => i * q8PanelBytes(headSize));
    b.for("group", 0, groupsOf(headSize), 1, (group) => {
      const scales = panels.map((panel) => b.load(f32x16, from, b.mul(group, chunkBytes), panel + headSize * laneCount));
      const first = b.mul(group, groupSize);
      const end = headSize % groupSize === 0 ? b.add(first, groupSize) : smallerInteger(b, b.add(first, groupSize), b.int(headSize));
      forUnrolled(b, "d", first, end, unrollOf(headSize, unroll), (d, u) => {
        const at = b.mul(d, laneCount);
        const keys = scales.map((scale, i) => b.mul(scale, bytesToFloat(b, from, at, required(panels[i], "panel") + u * laneCount)));
        body(d, u, keys);
      });
    });
  },
  valueChunk: (b, headSize, row, chunk, i) => {
    const group = b.mul(b.divU(chunk, chunksPerGroup), f32Bytes);
    const scale = b.loadSplat(f32x16, row, group, valueColumns(headSize) + Math.floor(i / chunksPerGroup) * f32Bytes);
    return b.mul(scale, bytesToFloat(b, row, b.mul(chunk, laneCount), i * laneCount));
  },
  writeKey: (b, headSize, key, panel, lane) => {
    forHeadGroups(b, headSize, key, (group, chunks) => {
      const { scale, inverse } = groupScale(b, chunks);
      const first = group * groupSize;
      b.for("d", first, Math.min(first + groupSize, headSize), 1, (d) => {
        const q = roundToInteger(b, b.mul(b.load(f32, key, b.mul(d, f32Bytes)), inverse));
        b.store(q, panel, b.add(b.mul(d, laneCount), lane), 0, 1, "i8");
      });
      b.store(scale, panel, b.mul(lane, f32Bytes), headSize * laneCount + group * chunkBytes);
    });
  },
  writeValue: (b, headSize, value, row) => {
    forHeadGroups(b, headSize, value, (group, chunks) => {
      const { scale, inverse } = groupScale(b, chunks);
      chunks.forEach((chunk, i) => {
        const start = group * groupSize + i * laneCount;
        const q = roundToInteger(b, b.mul(chunk, b.splat(inverse, laneCount)));
        if (start < headSize) b.store(b.narrowS(b.narrowS(q)), row, 0, start);
      });
      b.store(scale, row, 0, valueColumns(headSize) + group * f32Bytes);
    });
  },
};

export const kvFormats: Readonly<Record<KvFormatName, KvFormat>> = { f32: f32Format, f16: f16Format, q8_0: q8Format };
