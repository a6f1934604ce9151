/** The scratch memory of attention: a block of keys or values as f32, then a record for each query of a run. */
import { blockSize } from "../../numeric/quantize.ts";
import type { Value } from "../ir.ts";
import type { KvCacheShape } from "./kv-cache.ts";
import { kvFormats, valueColumns } from "./kv-formats.ts";
import { chunkBytes, f32Bytes } from "./lanes.ts";

/** Numbers that take part: from <= number < to. */
export interface Visible {
  readonly from: Value;
  readonly to: Value;
}

/** Queries of a run, unless one row has more: a block as f32 then costs each of them little. */
const runQueries = 32;

/** The most rows of a run, where `group` query heads share a cached head. */
export function runRows(group: number): number {
  return Math.max(1, Math.floor(runQueries / group));
}

/** Byte offsets in a query's record. */
export interface QueryFields {
  /** A block's scores, then its weights: [64] f32. */
  readonly weights: number;
  /** Sum of weighed values over the blocks so far: [valueColumns] f32. */
  readonly output: number;
  /** Maximum of the scores so far, and sum of their exponentials. */
  readonly max: number;
  readonly sum: number;
  /** Factors of what was before the block, and of the block. */
  readonly before: number;
  readonly now: number;
  readonly end: number;
}

/** The record of a query of `headSize` elements. */
export function queryFields(headSize: number): QueryFields {
  const output = blockSize * f32Bytes;
  const max = output + valueColumns(headSize) * f32Bytes;
  const [sum, before, now] = [max + f32Bytes, max + 2 * f32Bytes, max + 3 * f32Bytes];
  return { weights: 0, output, max, sum, before, now, end: max + chunkBytes };
}

export interface ScratchLayout {
  /** Where the records begin. */
  readonly recordsStart: number;
  readonly queryBytes: number;
  /** All of it. */
  readonly bytes: number;
}

/** Scratch of one attention call over a cache of this shape for `heads` query heads. */
export function scratchLayout({ format, headSize, kvHeads, heads }: KvCacheShape & { readonly heads: number }): ScratchLayout {
  const group = heads / kvHeads;
  const recordsStart = format === "f32" ? 0 : blockSize * kvFormats.f32.rowBytes(headSize);
  const queryBytes = queryFields(headSize).end;
  return { recordsStart, queryBytes, bytes: recordsStart + runRows(group) * group * queryBytes };
}
