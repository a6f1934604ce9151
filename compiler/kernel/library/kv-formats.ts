/**
 * How the cache stores one head's keys and values. Keys come in panels of 16 positions, positions as lanes, so that a query meets 16
 * of them at once; a value is a row. f32 and f16 store elements; q8_0 stores 8-bit groups of 32 along the head with their f32 scales
 * behind them, quantised like activations (numeric/quantize).
 */
import { groupSize, roundUp } from "../../numeric/quantize.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import { f32, vector, type Value } from "../ir.ts";
import { floatToHalf, halfToFloat, roundToInteger, smallerInteger } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16, forChunks, f32Offset, laneCount } from "./lanes.ts";
import { groupScale } from "./quantize.ts";

export type KvFormatName = "f32" | "f16" | "q8_0";

/** Both write what the f32 format would hold. */
export interface ToFloats {
  /** A panel of 16 keys, to [headSize, 16]. */
  readonly panel: (b: KernelBuilder, headSize: number, panel: Value, to: Value) => void;
  /** A value with its padding, to [valueColumns]. */
  readonly row: (b: KernelBuilder, headSize: number, row: Value, to: Value) => void;
}

export interface KvFormat {
  readonly name: KvFormatName;
  /** Bytes of a panel: 16 keys of one head. */
  readonly panelBytes: (headSize: number) => number;
  /** Bytes of a value of one head. */
  readonly rowBytes: (headSize: number) => number;
  /** How the format becomes f32; null where it is. */
  readonly toFloats: ToFloats | null;
  /** Puts a key, `headSize` f32, into lane `lane` of a panel. */
  readonly writeKey: (b: KernelBuilder, headSize: number, key: Value, panel: Value, lane: Value) => void;
  /** Puts a value, `headSize` f32, into its row; the row's padding becomes 0. */
  readonly writeValue: (b: KernelBuilder, headSize: number, value: Value, row: Value) => void;
}

/** Elements of a cached value: whole chunks. */
export function valueColumns(headSize: number): number {
  return roundUp(headSize, laneCount);
}

/** Turns of a loop of `count` that its body holds: addresses are computed once for them. */
function unrollOf(count: number): number {
  return count % 4 === 0 ? 4 : 1;
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

/** How a float format moves elements. */
interface FloatCodec {
  readonly bytes: number;
  readonly toFloats: ToFloats | null;
  readonly writeOne: (b: KernelBuilder, x: Value, pointer: Value, index: Value) => void;
  readonly write: (b: KernelBuilder, x: Value, pointer: Value, element: Value) => void;
}

function floatFormat(name: "f32" | "f16", { bytes, toFloats, writeOne, write }: FloatCodec): KvFormat {
  return {
    name,
    panelBytes: (headSize) => headSize * laneCount * bytes,
    rowBytes: (headSize) => valueColumns(headSize) * bytes,
    toFloats,
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
  toFloats: null,
  writeOne: (b, x, pointer, index) => {
    b.store(x, pointer, index);
  },
  write: (b, x, pointer, index) => {
    b.store(x, pointer, index);
  },
});

const halfBytes = 2;

/** Chunks of 16 halves to f32. */
function halvesToFloats(b: KernelBuilder, chunks: number, from: Value, to: Value): void {
  forUnrolled(b, "chunk", 0, chunks, unrollOf(chunks), (chunk, u) => {
    const halves = b.load(vector("i16", laneCount), from, b.mul(chunk, laneCount * halfBytes), u * laneCount * halfBytes);
    b.store(halfToFloat(b, b.widenS(halves)), to, b.mul(chunk, chunkBytes), u * chunkBytes);
  });
}

const f16Format = floatFormat("f16", {
  bytes: halfBytes,
  toFloats: {
    panel: (b, headSize, panel, to) => {
      halvesToFloats(b, headSize, panel, to);
    },
    row: (b, headSize, row, to) => {
      halvesToFloats(b, valueColumns(headSize) / laneCount, row, to);
    },
  },
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
  toFloats: {
    panel: (b, headSize, panel, to) => {
      b.for("group", 0, groupsOf(headSize), 1, (group) => {
        const scales = b.load(f32x16, panel, b.mul(group, chunkBytes), headSize * laneCount);
        const first = b.mul(group, groupSize);
        const end = headSize % groupSize === 0 ? b.add(first, groupSize) : smallerInteger(b, b.add(first, groupSize), b.int(headSize));
        forUnrolled(b, "d", first, end, unrollOf(headSize), (d, u) => {
          const q = bytesToFloat(b, b.load(vector("i8", laneCount), panel, b.mul(d, laneCount), u * laneCount));
          b.store(b.mul(scales, q), to, b.mul(d, chunkBytes), u * chunkBytes);
        });
      });
    },
    row: (b, headSize, row, to) => {
      const chunks = valueColumns(headSize) / laneCount;
      const chunksPerGroup = groupSize / laneCount;
      forUnrolled(b, "chunk", 0, chunks, unrollOf(chunks), (chunk, u) => {
        const q = bytesToFloat(b, b.load(vector("i8", laneCount), row, b.mul(chunk, laneCount), u * laneCount));
        const group = b.mul(b.divU(chunk, chunksPerGroup), f32Bytes);
        const scale = b.loadSplat(f32x16, row, group, valueColumns(headSize) + Math.floor(u / chunksPerGroup) * f32Bytes);
        b.store(b.mul(scale, q), to, b.mul(chunk, chunkBytes), u * chunkBytes);
      });
    },
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
