/** The weights of queries in a block, from their scores: their maximum and their sum, and what becomes of those of the blocks before. */
import { required } from "../../errors.ts";
import type { KernelBuilder } from "../builder.ts";
import { f32, type Value } from "../ir.ts";
import { queryFields, scratchLayout, type Visible } from "./attention-scratch.ts";
import type { TiledSpec } from "./attention-tiles.ts";
import { exponential } from "./functions.ts";
import { chunkBytes, f32x16, foldLanes, i32x16, laneCount, laneNumbers, largestLane } from "./lanes.ts";

export interface WeighSpec extends TiledSpec {
  readonly window: number | null;
}

export interface WeighedBlock {
  /** Positions of the block that take part. */
  readonly visible: Visible;
  /** Panels of scores; others hold nothing visible. */
  readonly panels: Visible;
  /** Whether there is no block before. */
  readonly isFirst: Value;
}

/**
 * p = exp(score - max) in the scores' place, 0 where masked; then maximum and sum of the blocks so far, and the factors of their merge. For
 * the queries of a tile, whose records lie one after the other: each is a chain of steps that wait for each other, so they go side by side.
 */
export function weighBlock(b: KernelBuilder, spec: WeighSpec, records: Value, { visible, panels, isFirst }: WeighedBlock): void {
  const { window, headSize, tile } = spec;
  const fields = queryFields(headSize);
  const { queryBytes } = scratchLayout(spec);
  const [nothing, zero] = [b.literal(f32x16, -Infinity), b.literal(f32x16, 0)];
  const queries = Array.from({ length: tile.queries }, (_, query) => ({
    record: query * queryBytes,
    largest: b.variable(`largest${query}`, nothing),
    sums: b.variable(`sums${query}`, zero),
  }));
  b.for("panel", panels.from, panels.to, 1, (panel) => {
    const positions = b.add(b.splat(b.mul(panel, laneCount), laneCount), laneNumbers(b));
    const isBefore = b.lt(positions, b.splat(visible.to, laneCount));
    const mask = window === null ? isBefore : b.select(b.lt(positions, b.splat(visible.from, laneCount)), b.literal(i32x16, 0), isBefore);
    const at = b.mul(panel, chunkBytes);
    for (const { record, largest } of queries) {
      const seen = b.select(mask, b.load(f32x16, records, at, record + fields.weights), nothing);
      b.store(seen, records, at, record + fields.weights);
      b.assign(largest, b.max(b.read(largest), seen));
    }
  });
  const maxima = queries.map(({ largest }) => largestLane(b, b.read(largest)));
  b.for("panel", panels.from, panels.to, 1, (panel) => {
    const at = b.mul(panel, chunkBytes);
    queries.forEach(({ record, sums }, query) => {
      const max = b.splat(required(maxima[query], "maximum"), laneCount);
      const seen = b.load(f32x16, records, at, record + fields.weights);
      const p = b.select(b.lt(nothing, seen), exponential(b, b.sub(seen, max)), zero);
      b.store(p, records, at, record + fields.weights);
      b.assign(sums, b.add(b.read(sums), p));
    });
  });
  const blocks = queries.map(({ record, sums }, query) => ({
    record,
    max: required(maxima[query], "maximum"),
    sum: foldLanes(b, b.read(sums)),
  }));
  b.if(
    isFirst,
    () => {
      for (const { record, max, sum } of blocks) {
        b.store(max, records, 0, record + fields.max);
        b.store(sum, records, 0, record + fields.sum);
      }
    },
    () => {
      const merges = blocks.map(({ record, max, sum }) => {
        const previous = b.load(f32, records, 0, record + fields.max);
        return { record, max, sum, previous, merged: b.max(previous, max) };
      });
      // All factors in one vector: the exponential is written once.
      const differences = merges.flatMap(({ previous, max, merged }) => [b.sub(previous, merged), b.sub(max, merged)]);
      const factors = exponential(b, gathered(b, differences));
      merges.forEach(({ record, sum, merged }, query) => {
        const [before, now] = [b.lane(factors, 2 * query), b.lane(factors, 2 * query + 1)];
        b.store(merged, records, 0, record + fields.max);
        b.store(b.add(b.mul(b.load(f32, records, 0, record + fields.sum), before), b.mul(sum, now)), records, 0, record + fields.sum);
        b.store(before, records, 0, record + fields.before);
        b.store(now, records, 0, record + fields.now);
      });
    },
  );
}

/** A vector of at least 4 lanes of which the first hold the scalars. */
function gathered(b: KernelBuilder, scalars: readonly Value[]): Value {
  const lanes = 2 ** Math.max(2, Math.ceil(Math.log2(scalars.length)));
  const choose = (from: number, count: number): Value => {
    if (count === 1) return b.splat(required(scalars[from], "scalar"), lanes);
    const half = count / 2;
    if (from + half >= scalars.length) return choose(from, half);
    const isLow = Array.from({ length: lanes }, (_, lane) => ((lane & half) === 0 ? -1 : 0));
    return b.select(b.lanes("i32", isLow), choose(from, half), choose(from + half, half));
  };
  return choose(0, lanes);
}
