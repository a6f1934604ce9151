/**
 * How the cache stores one head's keys and values. Keys come in panels of 16 positions, positions as lanes, so that a query meets 16
 * of them at once; a value is a row. f32 and f16 store elements; q8_0 stores 8-bit groups of 32 along the head with their f32 scales
 * behind them, quantised like activations (numeric/quantize).
 */
import { groupSize, roundUp } from "../../numeric/quantize.ts";
import type { KernelBuilder } from "../builder.ts";
import { f32, vector, type Value } from "../ir.ts";
import { floatToHalf, halfToFloat, roundToInteger } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16, forChunks, f32Offset, laneCount } from "./lanes.ts";
import { groupScale } from "./quantize.ts";

export type KvFormatName = "f32" | "f16" | "q8_0";

export interface KvFormat {
  readonly name: KvFormatName;
  /** Bytes of a panel: 16 keys of one head. */
  readonly panelBytes: (headSize: number) => number;
  /** Bytes of a value of one head. */
  readonly rowBytes: (headSize: number) => number;
  /** Element `d` of the 16 keys of the panel at pointer + offset. */
  readonly readKeys: (b: KernelBuilder, headSize: number, panel: Value, d: Value, offset: number) => Value;
  /** Elements 16 * chunk … of the value at pointer + index. */
  readonly readValue: (b: KernelBuilder, headSize: number, rows: Value, index: Value, chunk: number) => Value;
  /** Puts a key, `headSize` f32, into lane `lane` of a panel. */
  readonly writeKey: (b: KernelBuilder, headSize: number, key: Value, panel: Value, lane: Value) => void;
  /** Puts a value, `headSize` f32, into its row; the row's padding becomes 0. */
  readonly writeValue: (b: KernelBuilder, headSize: number, value: Value, row: Value) => void;
}

/** Elements of a cached value: whole chunks. */
export function valueColumns(headSize: number): number {
  return roundUp(headSize, laneCount);
}

/** How a float format moves elements. */
interface FloatCodec {
  readonly bytes: number;
  readonly read: (b: KernelBuilder, pointer: Value, index: Value, offset: number) => Value;
  readonly writeOne: (b: KernelBuilder, x: Value, pointer: Value, index: Value) => void;
  readonly write: (b: KernelBuilder, x: Value, pointer: Value, element: Value) => void;
}

function floatFormat(name: "f32" | "f16", { bytes, read, writeOne, write }: FloatCodec): KvFormat {
  return {
    name,
    panelBytes: (headSize) => headSize * laneCount * bytes,
    rowBytes: (headSize) => valueColumns(headSize) * bytes,
    readKeys: (b, _, panel, d, offset) => read(b, panel, b.mul(d, laneCount * bytes), offset),
    readValue: (b, _, rows, index, chunk) => read(b, rows, index, chunk * laneCount * bytes),
    writeKey: (b, headSize, key, panel, lane) => {
      b.for("d", 0, headSize, 1, (d) => {
        writeOne(b, b.load(f32, key, b.mul(d, f32Bytes)), panel, b.add(b.mul(d, laneCount * bytes), b.mul(lane, bytes)));
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
  read: (b, pointer, index, offset) => halfToFloat(b, b.widenU(b.load(vector("i16", laneCount), pointer, index, offset))),
  writeOne: (b, x, pointer, index) => {
    b.store(floatToHalf(b, x), pointer, index, 0, 1, "i16");
  },
  write: (b, x, pointer, index) => {
    // narrowS saturates as signed, so the bits are first read as a signed 16-bit number.
    b.store(b.narrowS(b.shrS(b.shl(floatToHalf(b, x), 16), 16)), pointer, index);
  },
});

/** 16 signed bytes as f32. */
function bytesToFloat(b: KernelBuilder, bytes: Value): Value {
  return b.toFloat(b.widenS(b.widenS(bytes)));
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

const q8Format: KvFormat = {
  name: "q8_0",
  // [headSize][16] bytes, then [groups][16] scales.
  panelBytes: (headSize) => headSize * laneCount + groupsOf(headSize) * chunkBytes,
  // [columns] bytes, then [groups] scales.
  rowBytes: (headSize) => valueColumns(headSize) + groupsOf(headSize) * f32Bytes,
  readKeys: (b, headSize, panel, d, offset) => {
    const q = bytesToFloat(b, b.load(vector("i8", laneCount), panel, b.mul(d, laneCount), offset));
    const scales = b.load(f32x16, panel, b.mul(b.divU(d, groupSize), chunkBytes), offset + headSize * laneCount);
    return b.mul(scales, q);
  },
  readValue: (b, headSize, rows, index, chunk) => {
    const q = bytesToFloat(b, b.load(vector("i8", laneCount), rows, index, chunk * laneCount));
    const group = Math.floor((chunk * laneCount) / groupSize);
    return b.mul(b.loadSplat(f32x16, rows, index, valueColumns(headSize) + group * f32Bytes), q);
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
