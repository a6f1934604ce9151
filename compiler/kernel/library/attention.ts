/**
 * Causal grouped-query attention over the cache, by blocks of 64 absolute positions, so that chunking cannot move them. In a block:
 * m = max of the scores, p = exp(score - m), l = fold16(p), o = sum of p * v with positions rising. Blocks merge in rising order:
 * m' = max(m, mb), l = l * exp(m - m') + lb * exp(mb - m'), o likewise; the result is o / l. (Online softmax, Milakov and
 * Gimelshein, 2018, with a fixed tree.)
 *
 * Rows of a session that follow each other are served together: the keys of a block, and then its values, become f32 once for all of
 * them and for all query heads that share a cached head. A row alone may take them from the cache as it goes, and asks for the next block
 * meanwhile. A query, one head of one row, keeps its weights and sums in the scratch memory.
 */
import { blockSize } from "../../numeric/quantize.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { queryFields, runRows, scratchLayout, type Visible } from "./attention-scratch.ts";
import { tileName, weighedValues, writeScores, type AttentionTile, type BlockPart } from "./attention-tiles.ts";
import { weighBlock } from "./attention-weights.ts";
import { largerInteger, smallerInteger } from "./functions.ts";
import { cacheName, headKeyBytes, headValueBytes, valuesStart, type KvCacheSpec } from "./kv-cache.ts";
import { keysToFloats, kvFormats, valueToFloats } from "./kv-formats.ts";
import { f32Bytes, f32Offset, f32x16, forChunks, laneCount } from "./lanes.ts";
import { numberName } from "./names.ts";
import { rowCount, rowFields, rowList } from "./rows.ts";

export interface AttentionSpec extends KvCacheSpec {
  readonly heads: number;
  readonly scale: number;
  /** Positions that a row sees, itself included; null for all. */
  readonly window: number | null;
  readonly queryStride: number;
  readonly outputStride: number;
  readonly tile: AttentionTile;
}

/** Attends for every row of the call; the cache holds their keys and values already (kvAppend). */
export function attention(spec: AttentionSpec): Kernel {
  const { heads, kvHeads, headSize, window, queryStride, outputStride } = spec;
  const group = heads / kvHeads;
  const windowName = window === null ? "" : `_w${window}`;
  const strides = `s${queryStride}_s${outputStride}`;
  const name = `attention_${heads}h_${cacheName(spec)}${windowName}_${strides}_x${numberName(spec.scale)}_${tileName(spec.tile)}`;
  return recordKernel(name, `${heads} query heads over ${kvHeads} cached heads of ${headSize}`, (b) => {
    const queries = b.pointer("queries", "read", `queries [rows, ${heads}, ${headSize}] f32, rows ${queryStride} apart`);
    const rows = rowList(b);
    const cache = b.pointer("cache", "read", `the layer's cache: ${spec.format} key panels, then value rows`);
    const scratch = b.pointer("scratch", "read-write", "a block of keys or values as f32, then what the queries of a run keep");
    const out = b.pointer("out", "write", `attention [rows, ${heads}, ${headSize}] f32, rows ${outputStride} apart`);
    const count = rowCount(b);
    const next = b.variable("next", b.int(0));
    b.for("row", 0, count, 1, (row) => {
      // The other rows of a run are done with its first.
      b.if(b.eq(row, b.read(next)), () => {
        const { slot, position } = rowFields(b, rows, row);
        const length = runLength(b, { rows, count, row, most: runRows(group) });
        b.assign(next, b.add(row, length));
        const session = b.advance(cache, slot, spec.state.slotBytes);
        b.for("head", 0, kvHeads, 1, (head) => {
          const headBytes = b.mul(head, group * headSize * f32Bytes);
          attendRun(b, spec, {
            queries: b.advance(b.advance(queries, row, queryStride * f32Bytes), headBytes, 1),
            out: b.advance(b.advance(out, row, outputStride * f32Bytes), headBytes, 1),
            keys: b.advance(session, head, headKeyBytes(spec)),
            values: b.advance(b.advance(session, 1, valuesStart(spec)), head, headValueBytes(spec)),
            position,
            length,
            scratch,
          });
        });
      });
    });
  });
}

/** How many rows from `row` on, at most `most`, are of one session at positions one after the other. */
function runLength(
  b: KernelBuilder,
  { rows, count, row, most }: { readonly rows: Value; readonly count: Value; readonly row: Value; readonly most: number },
): Value {
  const first = rowFields(b, rows, row);
  const length = b.variable("length", b.int(1));
  b.for("following", 1, smallerInteger(b, b.sub(count, row), b.int(most)), 1, (following) => {
    const { slot, position } = rowFields(b, rows, b.add(row, following));
    const isNext = b.select(b.eq(slot, first.slot), b.eq(position, b.add(first.position, following)), b.int(0));
    b.assign(length, b.add(b.read(length), b.select(isNext, b.eq(b.read(length), following), b.int(0))));
  });
  return b.read(length);
}

/** A run of rows and one cached head; `queries` and `out` point at the first row's first head of those that share it. */
interface Run {
  readonly queries: Value;
  readonly out: Value;
  readonly keys: Value;
  readonly values: Value;
  /** Of the first row. */
  readonly position: Value;
  /** Rows; the number 1 for a row alone whose heads are one tile. */
  readonly length: Value | 1;
  readonly scratch: Value;
}

function attendRun(b: KernelBuilder, spec: AttentionSpec, run: Run & { readonly length: Value }): void {
  const attend = (rows: Run, source: BlockSource): void => {
    attendBlocks(b, spec, rows, source);
    forTiles(b, spec, rows, ({ records, out }) => {
      writeResults(b, spec, records, out);
    });
  };
  if (spec.format === "f32") attend(run, fromCache);
  else if (!spec.tile.readsCache) attend(run, fromScratch);
  else {
    b.if(
      b.eq(run.length, 1),
      () => {
        attend({ ...run, length: 1 }, fromCache);
      },
      () => {
        attend(run, fromScratch);
      },
    );
  }
}

/** Where products take the keys and the values of a block from. */
interface BlockSource {
  keys(b: KernelBuilder, spec: AttentionSpec, run: Run, block: Value, panels: Visible): BlockPart;
  values(b: KernelBuilder, spec: AttentionSpec, run: Run, block: Value, positions: Visible): BlockPart;
}

const fromCache: BlockSource = {
  keys: (b, { format: name, headSize }, { keys }, block) => {
    const format = kvFormats[name];
    return { from: b.advance(keys, block, (blockSize / laneCount) * format.panelBytes(headSize)), format, isCache: true };
  },
  values: (b, { format: name, headSize }, { values }, block) => {
    const format = kvFormats[name];
    return { from: b.advance(values, block, blockSize * format.rowBytes(headSize)), format, isCache: true };
  },
};

/** Both become f32 in the same scratch memory, one after the other. */
const fromScratch: BlockSource = {
  keys: (b, spec, run, block, panels) => {
    const { headSize } = spec;
    const { from, format } = fromCache.keys(b, spec, run, block, panels);
    b.for("panel", panels.from, panels.to, 1, (panel) => {
      const to = b.advance(run.scratch, panel, kvFormats.f32.panelBytes(headSize));
      keysToFloats(b, format, headSize, b.advance(from, panel, format.panelBytes(headSize)), to);
    });
    return { from: run.scratch, format: kvFormats.f32, isCache: false };
  },
  values: (b, spec, run, block, positions) => {
    const { headSize } = spec;
    const { from, format } = fromCache.values(b, spec, run, block, positions);
    b.for("position", positions.from, positions.to, 1, (position) => {
      const to = b.advance(run.scratch, position, kvFormats.f32.rowBytes(headSize));
      valueToFloats(b, format, headSize, b.advance(from, position, format.rowBytes(headSize)), to);
    });
    return { from: run.scratch, format: kvFormats.f32, isCache: false };
  },
};

function attendBlocks(b: KernelBuilder, spec: AttentionSpec, run: Run, source: BlockSource): void {
  const last = b.sub(b.add(run.position, run.length), 1);
  const firstBlock = b.divU(lowestSeen(b, spec, run.position), blockSize);
  b.for("block", firstBlock, b.add(b.divU(last, blockSize), 1), 1, (block) => {
    const seen = seenOf(b, spec, block, { first: run.position, last });
    const keys = source.keys(b, spec, run, block, panelsOf(b, spec.tile, seen));
    forBlockTiles(b, spec, run, block, ({ queries, records, visible, isFirst }) => {
      const panels = panelsOf(b, spec.tile, visible);
      writeScores(b, spec, { queries, keys, records, panels });
      weighBlock(b, spec, records, { visible, panels, isFirst });
    });
    const values = source.values(b, spec, run, block, seen);
    forBlockTiles(b, spec, run, block, ({ records, visible, isFirst }) => {
      weighedValues(b, spec, { values, records, visible, isFirst });
    });
  });
}

/** The first position that the row at `position` sees. */
function lowestSeen(b: KernelBuilder, { window }: AttentionSpec, position: Value): Value {
  return window === null ? b.int(0) : largerInteger(b, b.sub(position, window - 1), b.int(0));
}

/** Positions of a block, relative to its start, that rows at positions `first` to `last` see: none where `to` is not above `from`. */
function seenOf(b: KernelBuilder, spec: AttentionSpec, block: Value, rows: { readonly first: Value; readonly last: Value }): Visible {
  const start = b.mul(block, blockSize);
  const to = smallerInteger(b, b.sub(b.add(rows.last, 1), start), b.int(blockSize));
  const isWhole = spec.window === null;
  return { from: isWhole ? b.int(0) : largerInteger(b, b.sub(lowestSeen(b, spec, rows.first), start), b.int(0)), to };
}

/** The panels that hold the positions, in whole tiles. */
function panelsOf(b: KernelBuilder, { panels }: AttentionTile, { from, to }: Visible): Visible {
  const positions = panels * laneCount;
  const tiles = (position: Value): Value => b.mul(b.divU(position, positions), panels);
  return { from: tiles(from), to: tiles(b.add(to, positions - 1)) };
}

/** Heads of one row of the run. Pointers are to the first of them; what belongs to the others follows. */
interface Tile {
  readonly queries: Value;
  readonly out: Value;
  readonly records: Value;
  readonly position: Value;
}

function forTiles(b: KernelBuilder, spec: AttentionSpec, run: Run, body: (tile: Tile) => void): void {
  const { heads, kvHeads, headSize, queryStride, outputStride } = spec;
  const { recordsStart, queryBytes } = scratchLayout(spec);
  const group = heads / kvHeads;
  const first = b.advance(run.scratch, 1, recordsStart);
  if (run.length === 1) {
    body({ queries: run.queries, out: run.out, records: first, position: run.position });
    return;
  }
  b.for("member", 0, run.length, 1, (row) => {
    b.for("query", 0, group, spec.tile.queries, (query) => {
      const placeOf = (from: Value, rowBytes: number, bytes: number): Value => b.advance(b.advance(from, row, rowBytes), query, bytes);
      body({
        queries: placeOf(run.queries, queryStride * f32Bytes, headSize * f32Bytes),
        out: placeOf(run.out, outputStride * f32Bytes, headSize * f32Bytes),
        records: placeOf(first, group * queryBytes, queryBytes),
        position: b.add(run.position, row),
      });
    });
  });
}

/** A tile and what it has to do with a block. */
interface BlockTile extends Tile {
  readonly visible: Visible;
  /** Whether this is the first block that the row sees. */
  readonly isFirst: Value;
}

/** Emits `body` for the tiles whose rows see something of the block. */
function forBlockTiles(b: KernelBuilder, spec: AttentionSpec, run: Run, block: Value, body: (tile: BlockTile) => void): void {
  forTiles(b, spec, run, (tile) => {
    const { position } = tile;
    const visible = seenOf(b, spec, block, { first: position, last: position });
    const attend = (): void => {
      body({ ...tile, visible, isFirst: b.eq(block, b.divU(lowestSeen(b, spec, position), blockSize)) });
    };
    if (run.length === 1) attend();
    else b.if(b.lt(visible.from, visible.to), attend);
  });
}

/** o / l of a tile's queries. */
function writeResults(b: KernelBuilder, spec: AttentionSpec, records: Value, out: Value): void {
  const { headSize } = spec;
  const fields = queryFields(headSize);
  for (let query = 0; query < spec.tile.queries; query++) {
    const record = query * scratchLayout(spec).queryBytes;
    const sum = b.loadSplat(f32x16, records, 0, record + fields.sum);
    forChunks(b, headSize, ({ start, count }) => {
      const at = f32Offset(b, start);
      const o = b.load(f32x16, records, at, record + fields.output);
      b.store(b.div(o, sum), out, at, query * headSize * f32Bytes, count);
    });
  }
}
