/**
 * The products of attention: a few queries of one row meet a few vectors of keys or values at a time, so that what is loaded serves all of
 * them and every sum stays in a register.
 */
import { required } from "../../errors.ts";
import { blockSize } from "../../numeric/quantize.ts";
import type { KernelBuilder } from "../builder.ts";
import type { Value, Variable } from "../ir.ts";
import type { VectorMachine } from "../vector-machine.ts";
import { queryFields, scratchLayout, type Visible } from "./attention-scratch.ts";
import type { KvCacheShape } from "./kv-cache.ts";
import { valueColumns, type KvFormat } from "./kv-formats.ts";
import { chunkBytes, f32Bytes, f32x16, laneCount } from "./lanes.ts";
import { prefetchLines } from "./prefetch.ts";

/** Queries, times panels of keys or chunks of values. */
export interface AttentionTile {
  /** Divides the number of heads that share a cached head. */
  readonly queries: number;
  /** 1, 2 or 4. */
  readonly panels: number;
  /** Whether a row alone takes keys and values from the cache as it goes. Its heads then fit one tile. */
  readonly readsCache: boolean;
}

const panelsPerBlock = 4;

/**
 * The tile for `group` heads that share a cached head: its sums lie in half of the registers, and its queries are as many of the group as
 * they may be, for what is read of the cache then serves all of them. Reading the cache as it goes takes half of the time where the next
 * block can be asked for meanwhile, and no less where it cannot (WebAssembly), for a second set of loops.
 */
export function attentionTile(group: number, { bytes, registers, prefetches }: VectorMachine): AttentionTile {
  const vectors = Math.max(1, registers / 2 / (chunkBytes / bytes));
  const queries = largestOf(group, (count) => group % count === 0 && count <= vectors);
  const panels = largestOf(panelsPerBlock, (count) => panelsPerBlock % count === 0 && count * queries <= vectors);
  return { queries, panels, readsCache: prefetches && queries === group };
}

/** The largest number from `most` down to 1 that fits; 1 does. */
function largestOf(most: number, fits: (count: number) => boolean): number {
  let count = most;
  while (count > 1 && !fits(count)) count--;
  return count;
}

/** `t2x1`, for kernel names. */
export function tileName({ queries, panels, readsCache }: AttentionTile): string {
  return `t${queries}x${panels}${readsCache ? "c" : ""}`;
}

export interface TiledSpec extends KvCacheShape {
  readonly heads: number;
  readonly scale: number;
  readonly tile: AttentionTile;
}

/** Where the keys or the values of a block lie, and how. */
export interface BlockPart {
  readonly from: Value;
  readonly format: KvFormat;
  /** Whether the blocks of a head follow each other there, so that the next can be asked for. */
  readonly isCache: boolean;
}

export interface Scores {
  /** The first of the tile's queries; the others follow it. */
  readonly queries: Value;
  readonly keys: BlockPart;
  readonly records: Value;
  readonly panels: Visible;
}

/** The scores of a tile's queries: (sum over the head, rising) * scale, 16 positions a vector. */
export function writeScores(b: KernelBuilder, spec: TiledSpec, { queries, keys, records, panels }: Scores): void {
  const { headSize, scale, tile } = spec;
  const { format, isCache } = keys;
  const panelBytes = format.panelBytes(headSize);
  const { queryBytes } = scratchLayout(spec);
  const { weights } = queryFields(headSize);
  const turnBytes = Math.floor((tile.panels * panelBytes) / headSize);
  b.for("panel", panels.from, panels.to, tile.panels, (panel) => {
    const from = b.advance(keys.from, panel, panelBytes);
    const sums = tileSums(b, tile.queries, tile.panels);
    format.forKeys(b, headSize, { from, count: tile.panels }, 1, (d, _, vectors) => {
      if (isCache) prefetchLines(b, from, b.mul(d, turnBytes), { distance: panelsPerBlock * panelBytes, bytes: turnBytes });
      accumulate(b, sums, vectors, (query) => b.loadSplat(f32x16, queries, b.mul(d, f32Bytes), query * headSize * f32Bytes));
    });
    sums.forEach((ofQuery, query) => {
      ofQuery.forEach((sum, i) => {
        b.store(b.mul(b.read(sum), scale), records, b.mul(panel, chunkBytes), query * queryBytes + weights + i * chunkBytes);
      });
    });
  });
}

export interface WeighedValues {
  readonly values: BlockPart;
  readonly records: Value;
  readonly visible: Visible;
  readonly isFirst: Value;
}

/** o[d] = sum of p * v over the visible positions, rising, merged into that of the blocks before. */
export function weighedValues(b: KernelBuilder, spec: TiledSpec, { values, records, visible, isFirst }: WeighedValues): void {
  const { headSize, tile } = spec;
  const { format, isCache } = values;
  const fields = queryFields(headSize);
  const { queryBytes } = scratchLayout(spec);
  const rowBytes = format.rowBytes(headSize);
  forColumns(b, valueColumns(headSize) / laneCount, tile.panels, (chunk, count) => {
    const sums = tileSums(b, tile.queries, count);
    b.for("position", visible.from, visible.to, 1, (position) => {
      const row = b.advance(values.from, position, rowBytes);
      if (isCache) prefetchLines(b, row, 0, { distance: blockSize * rowBytes, bytes: rowBytes });
      const vectors = Array.from({ length: count }, (_, i) => format.valueChunk(b, headSize, row, chunk, i));
      accumulate(b, sums, vectors, (query) => b.loadSplat(f32x16, records, b.mul(position, f32Bytes), query * queryBytes + fields.weights));
    });
    const at = b.mul(chunk, chunkBytes);
    sums.forEach((ofQuery, query) => {
      const record = query * queryBytes;
      const place = (i: number): number => record + fields.output + i * chunkBytes;
      b.if(
        isFirst,
        () => {
          ofQuery.forEach((sum, i) => {
            b.store(b.read(sum), records, at, place(i));
          });
        },
        () => {
          const before = b.loadSplat(f32x16, records, 0, record + fields.before);
          const now = b.loadSplat(f32x16, records, 0, record + fields.now);
          ofQuery.forEach((sum, i) => {
            const merged = b.add(b.mul(b.load(f32x16, records, at, place(i)), before), b.mul(b.read(sum), now));
            b.store(merged, records, at, place(i));
          });
        },
      );
    });
  });
}

/** Columns in groups of `most` chunks: a loop over the whole groups, then the rest. */
function forColumns(b: KernelBuilder, chunks: number, most: number, body: (first: Value, count: number) => void): void {
  const whole = chunks - (chunks % most);
  b.for("chunk", 0, whole, most, (first) => {
    body(first, most);
  });
  if (whole < chunks) body(b.int(whole), chunks - whole);
}

/** The sums of a tile, at +0: by query, then by vector. */
type TileSums = readonly (readonly Variable[])[];

function tileSums(b: KernelBuilder, queries: number, vectors: number): TileSums {
  const zero = b.literal(f32x16, 0);
  return Array.from({ length: queries }, (_, query) => Array.from({ length: vectors }, (_v, i) => b.variable(`sum${query}_${i}`, zero)));
}

/** sum + x * y of every query's splat x and every vector y. */
function accumulate(b: KernelBuilder, sums: TileSums, vectors: readonly Value[], splat: (query: number) => Value): void {
  sums.forEach((ofQuery, query) => {
    const x = splat(query);
    ofQuery.forEach((sum, i) => {
      b.assign(sum, b.add(b.read(sum), b.mul(x, required(vectors[i], "vector"))));
    });
  });
}
