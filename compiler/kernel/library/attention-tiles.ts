/**
 * The products of attention: a few queries of one row meet a few vectors of keys or values at a time, so that what is loaded serves all of
 * them and every sum stays in a register.
 */
import { required } from "../../errors.ts";
import type { KernelBuilder } from "../builder.ts";
import type { Value, Variable } from "../ir.ts";
import { queryFields, scratchLayout, type Visible } from "./attention-scratch.ts";
import type { KvCacheShape } from "./kv-cache.ts";
import { kvFormats, valueColumns } from "./kv-formats.ts";
import { chunkBytes, f32Bytes, f32x16, laneCount } from "./lanes.ts";

/** Queries, times panels of keys or chunks of values. */
export interface AttentionTile {
  /** Divides the number of heads that share a cached head. */
  readonly queries: number;
  /** A power of two up to 4. */
  readonly panels: number;
}

/** Sums in registers, of which the smallest sets have 16. */
const tileRegisters = 8;
const panelsPerBlock = 4;

/** The tile for `group` heads that share a cached head, on a machine with vectors of `vectorBytes`. */
export function attentionTile(group: number, vectorBytes: number): AttentionTile {
  const queries = group % 2 === 0 ? 2 : 1;
  const panelRegisters = chunkBytes / vectorBytes;
  return { queries, panels: Math.min(panelsPerBlock, Math.max(1, tileRegisters / queries / panelRegisters)) };
}

/** `t2x1`, for kernel names. */
export function tileName({ queries, panels }: AttentionTile): string {
  return `t${queries}x${panels}`;
}

interface TiledSpec extends KvCacheShape {
  readonly heads: number;
  readonly scale: number;
  readonly tile: AttentionTile;
}

export interface Scores {
  /** The first of the tile's queries; the others follow it. */
  readonly queries: Value;
  /** f32 panels of the block. */
  readonly keys: Value;
  readonly records: Value;
  readonly panels: Visible;
}

/** The scores of a tile's queries: (sum over the head, rising) * scale, 16 positions a vector. */
export function writeScores(b: KernelBuilder, spec: TiledSpec, { queries, keys, records, panels }: Scores): void {
  const { headSize, scale, tile } = spec;
  const panelBytes = kvFormats.f32.panelBytes(headSize);
  const { queryBytes } = scratchLayout(spec);
  const { weights } = queryFields(headSize);
  b.for("panel", panels.from, panels.to, tile.panels, (panel) => {
    const from = b.advance(keys, panel, panelBytes);
    const sums = tileSums(b, tile.queries, tile.panels);
    b.for("d", 0, headSize, 1, (d) => {
      accumulate(
        b,
        sums,
        (query) => b.loadSplat(f32x16, queries, b.mul(d, f32Bytes), query * headSize * f32Bytes),
        (i) => b.load(f32x16, from, b.mul(d, chunkBytes), i * panelBytes),
      );
    });
    sums.forEach((ofQuery, query) => {
      ofQuery.forEach((sum, i) => {
        b.store(b.mul(b.read(sum), scale), records, b.mul(panel, chunkBytes), query * queryBytes + weights + i * chunkBytes);
      });
    });
  });
}

export interface WeighedValues {
  /** f32 rows of the block. */
  readonly values: Value;
  readonly records: Value;
  readonly visible: Visible;
  readonly isFirst: Value;
}

/** o[d] = sum of p * v over the visible positions, rising, merged into that of the blocks before. */
export function weighedValues(b: KernelBuilder, spec: TiledSpec, { values, records, visible, isFirst }: WeighedValues): void {
  const { headSize, tile } = spec;
  const fields = queryFields(headSize);
  const { queryBytes } = scratchLayout(spec);
  const rowBytes = kvFormats.f32.rowBytes(headSize);
  forColumns(b, valueColumns(headSize) / laneCount, tile.panels, (chunk, count) => {
    const at = b.mul(chunk, chunkBytes);
    const from = b.advance(values, at, 1);
    const sums = tileSums(b, tile.queries, count);
    b.for("position", visible.from, visible.to, 1, (position) => {
      accumulate(
        b,
        sums,
        (query) => b.loadSplat(f32x16, records, b.mul(position, f32Bytes), query * queryBytes + fields.weights),
        (i) => b.load(f32x16, from, b.mul(position, rowBytes), i * chunkBytes),
      );
    });
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
function accumulate(b: KernelBuilder, sums: TileSums, splat: (query: number) => Value, load: (vector: number) => Value): void {
  const vectors = (sums[0] ?? []).map((_, i) => load(i));
  sums.forEach((ofQuery, query) => {
    const x = splat(query);
    ofQuery.forEach((sum, i) => {
      b.assign(sum, b.add(b.read(sum), b.mul(x, required(vectors[i], "vector"))));
    });
  });
}
