/**
 * The key-value cache of one attention layer inside a session's state, and the kernel that appends to it. Keys are panels, 16
 * positions as lanes: [kvHead, position / 16, headSize, 16]. Values are rows: [kvHead, position, headSize padded to 16].
 */
import { recordKernel, type Index, type KernelBuilder } from "../builder.ts";
import { f32, vector, type Kernel, type Value } from "../ir.ts";
import { blockSize, roundUp } from "../../numeric/quantize.ts";
import { floatToHalf, halfToFloat } from "./functions.ts";
import { f32Bytes, f32Offset, f32x16, forChunks, laneCount } from "./lanes.ts";
import { rowFields, type StateAddress } from "./rows.ts";

/** How cached elements are stored. */
export interface KvFormat {
  readonly name: "f32" | "f16";
  readonly bytes: number;
  /** 16 consecutive elements as f32. */
  readonly read: (b: KernelBuilder, pointer: Value, index: Index, offset: number) => Value;
  /** One element. */
  readonly writeOne: (b: KernelBuilder, x: Value, pointer: Value, index: Index) => void;
  /** 16 consecutive elements. */
  readonly write: (b: KernelBuilder, x: Value, pointer: Value, index: Index) => void;
}

export const kvFormats: Readonly<Record<KvFormat["name"], KvFormat>> = {
  f32: {
    name: "f32",
    bytes: 4,
    read: (b, pointer, index, offset) => b.load(f32x16, pointer, index, offset),
    writeOne: (b, x, pointer, index) => {
      b.store(x, pointer, index);
    },
    write: (b, x, pointer, index) => {
      b.store(x, pointer, index);
    },
  },
  f16: {
    name: "f16",
    bytes: 2,
    read: (b, pointer, index, offset) => halfToFloat(b, b.op("widenU", [b.load(vector("i16", laneCount), pointer, index, offset)])),
    writeOne: (b, x, pointer, index) => {
      b.store(floatToHalf(b, x), pointer, index, 0, 1, "i16");
    },
    write: (b, x, pointer, index) => {
      const half = floatToHalf(b, x);
      // narrowS saturates as signed, so the bits are first read as a signed 16-bit number.
      b.store(b.op("narrowS", [b.shrS(b.shl(half, 16), 16)]), pointer, index);
    },
  },
};

export interface KvCacheSpec {
  readonly format: KvFormat["name"];
  readonly kvHeads: number;
  readonly headSize: number;
  /** Positions the cache holds, in whole blocks of 64. */
  readonly context: number;
  readonly state: StateAddress;
}

/** Elements of a cached value row. */
export function valueColumns({ headSize }: Pick<KvCacheSpec, "headSize">): number {
  return roundUp(headSize, laneCount);
}

/** Bytes of the keys of all heads, which come first, and of the values. */
export function keyBytes(spec: Omit<KvCacheSpec, "state">): number {
  return spec.kvHeads * spec.context * spec.headSize * kvFormats[spec.format].bytes;
}
export function valueBytes(spec: Omit<KvCacheSpec, "state">): number {
  return spec.kvHeads * spec.context * valueColumns(spec) * kvFormats[spec.format].bytes;
}

/** Positions rounded up to whole attention blocks. */
export function cachedPositions(context: number): number {
  return roundUp(context, blockSize);
}

/** `f16_2x64_ctx4096_slot…`, for kernel names. */
export function cacheName({ format, kvHeads, headSize, context, state }: KvCacheSpec): string {
  return `${format}_${kvHeads}x${headSize}_ctx${context}_slot${state.slotBytes}`;
}

/** Appends the keys and values of every row at its position. */
export function kvAppend(spec: KvCacheSpec & { readonly keyStride: number; readonly valueStride: number }): Kernel {
  const { kvHeads, headSize, context, state, keyStride, valueStride } = spec;
  const format = kvFormats[spec.format];
  const columns = valueColumns(spec);
  const name = `kv_append_${cacheName(spec)}_s${keyStride}_s${valueStride}`;
  return recordKernel(name, `appends ${kvHeads} keys and values of ${headSize} a row to the cache`, (b) => {
    const keys = b.pointer("keys", "read", `keys [rows, ${kvHeads}, ${headSize}] f32, rows ${keyStride} apart`);
    const values = b.pointer("values", "read", `values [rows, ${kvHeads}, ${headSize}] f32, rows ${valueStride} apart`);
    const rows = b.pointer("row_list", "read", "rows of the call: token, slot, position, wantsLogits");
    const cache = b.pointer("cache", "write", `the layer's cache: ${spec.format} key panels, then value rows`);
    const count = b.scalar("rows", "rows of the call");
    b.for("row", 0, count, 1, (row) => {
      const { slot, position } = rowFields(b, rows, row);
      const session = b.advance(cache, slot, state.slotBytes);
      const valueRows = b.advance(session, 1, keyBytes(spec));
      const laneBytes = b.mul(b.remU(position, laneCount), format.bytes);
      b.for("head", 0, kvHeads, 1, (head) => {
        const key = b.advance(b.advance(keys, row, keyStride * f32Bytes), head, headSize * f32Bytes);
        const panels = b.advance(session, head, context * headSize * format.bytes);
        const panel = b.advance(panels, b.divU(position, laneCount), laneCount * headSize * format.bytes);
        b.for("d", 0, headSize, 1, (d) => {
          const x = b.load(f32, key, b.mul(d, f32Bytes));
          format.writeOne(b, x, panel, b.add(b.mul(d, laneCount * format.bytes), laneBytes));
        });
        const value = b.advance(b.advance(values, row, valueStride * f32Bytes), head, headSize * f32Bytes);
        const target = b.advance(b.advance(valueRows, head, context * columns * format.bytes), position, columns * format.bytes);
        forChunks(b, headSize, ({ start, count: lanes }) => {
          const x = b.load(f32x16, value, f32Offset(b, start), 0, lanes);
          format.write(b, x, target, typeof start === "number" ? start * format.bytes : b.mul(start, format.bytes));
        });
      });
    });
  });
}
