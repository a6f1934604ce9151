/**
 * The key-value cache of one attention layer inside a session's state, and the kernel that appends to it: key panels of all heads,
 * [kvHead, position / 16], then value rows, [kvHead, position]; see kv-formats.
 */
import { recordKernel } from "../builder.ts";
import type { Kernel } from "../ir.ts";
import { blockSize, roundUp } from "../../numeric/quantize.ts";
import { kvFormats, type KvFormatName } from "./kv-formats.ts";
import { f32Bytes, laneCount } from "./lanes.ts";
import { rowCount, rowFields, rowList, type StateAddress } from "./rows.ts";

/** A cache, wherever it lies. */
export interface KvCacheShape {
  readonly format: KvFormatName;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Positions the cache holds, in whole blocks of 64. */
  readonly context: number;
}

export interface KvCacheSpec extends KvCacheShape {
  readonly state: StateAddress;
}

/** Bytes of one head's keys. */
export function headKeyBytes({ format, headSize, context }: KvCacheShape): number {
  return (context / laneCount) * kvFormats[format].panelBytes(headSize);
}

/** Bytes of one head's values. */
export function headValueBytes({ format, headSize, context }: KvCacheShape): number {
  return context * kvFormats[format].rowBytes(headSize);
}

/** Offset of the values, which follow the keys of all heads. */
export function valuesStart(shape: KvCacheShape): number {
  return shape.kvHeads * headKeyBytes(shape);
}

/** Bytes of a session's whole cache of one layer: keys, then values. */
export function cacheBytes(shape: KvCacheShape): number {
  return valuesStart(shape) + shape.kvHeads * headValueBytes(shape);
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
  const { kvHeads, headSize, state, keyStride, valueStride } = spec;
  const format = kvFormats[spec.format];
  const name = `kv_append_${cacheName(spec)}_s${keyStride}_s${valueStride}`;
  return recordKernel(name, `appends ${kvHeads} keys and values of ${headSize} a row to the cache`, (b) => {
    const keys = b.pointer("keys", "read", `keys [rows, ${kvHeads}, ${headSize}] f32, rows ${keyStride} apart`);
    const values = b.pointer("values", "read", `values [rows, ${kvHeads}, ${headSize}] f32, rows ${valueStride} apart`);
    const rows = rowList(b);
    const cache = b.pointer("cache", "write", `the layer's cache: ${spec.format} key panels, then value rows`);
    const count = rowCount(b);
    b.for("row", 0, count, 1, (row) => {
      const { slot, position } = rowFields(b, rows, row);
      const session = b.advance(cache, slot, state.slotBytes);
      b.for("head", 0, kvHeads, 1, (head) => {
        const key = b.advance(b.advance(keys, row, keyStride * f32Bytes), head, headSize * f32Bytes);
        const panels = b.advance(session, head, headKeyBytes(spec));
        const panel = b.advance(panels, b.divU(position, laneCount), format.panelBytes(headSize));
        format.writeKey(b, headSize, key, panel, b.remU(position, laneCount));
        const value = b.advance(b.advance(values, row, valueStride * f32Bytes), head, headSize * f32Bytes);
        const headValues = b.advance(b.advance(session, 1, valuesStart(spec)), head, headValueBytes(spec));
        format.writeValue(b, headSize, value, b.advance(headValues, position, format.rowBytes(headSize)));
      });
    });
  });
}
