/** A query's weights in a block, from its scores: their maximum and their sum, and what becomes of those of the blocks before. */
import type { KernelBuilder } from "../builder.ts";
import { f32, type Value } from "../ir.ts";
import { queryFields, type Visible } from "./attention-scratch.ts";
import { exponential } from "./functions.ts";
import { chunkBytes, f32x16, foldLanes, i32x16, laneCount, laneNumbers, largestLane } from "./lanes.ts";

export interface WeighedBlock {
  /** Positions of the block that take part. */
  readonly visible: Visible;
  /** Panels of scores; others hold nothing visible. */
  readonly panels: Visible;
  /** Whether there is no block before. */
  readonly isFirst: Value;
}

/** p = exp(score - max) in the scores' place, 0 where masked; then maximum and sum of the blocks so far, and the factors of their merge. */
export function weighBlock(
  b: KernelBuilder,
  { headSize, window }: { readonly headSize: number; readonly window: number | null },
  record: Value,
  { visible, panels, isFirst }: WeighedBlock,
): void {
  const fields = queryFields(headSize);
  const nothing = b.literal(f32x16, -Infinity);
  const largest = b.variable("largest", nothing);
  b.for("panel", panels.from, panels.to, 1, (panel) => {
    const positions = b.add(b.splat(b.mul(panel, laneCount), laneCount), laneNumbers(b));
    const isBefore = b.lt(positions, b.splat(visible.to, laneCount));
    const mask = window === null ? isBefore : b.select(b.lt(positions, b.splat(visible.from, laneCount)), b.literal(i32x16, 0), isBefore);
    const at = b.mul(panel, chunkBytes);
    const seen = b.select(mask, b.load(f32x16, record, at, fields.weights), nothing);
    b.store(seen, record, at, fields.weights);
    b.assign(largest, b.max(b.read(largest), seen));
  });
  const max = largestLane(b, b.read(largest));
  const zero = b.literal(f32x16, 0);
  const sums = b.variable("sums", zero);
  b.for("panel", panels.from, panels.to, 1, (panel) => {
    const at = b.mul(panel, chunkBytes);
    const seen = b.load(f32x16, record, at, fields.weights);
    const p = b.select(b.lt(nothing, seen), exponential(b, b.sub(seen, b.splat(max, laneCount))), zero);
    b.store(p, record, at, fields.weights);
    b.assign(sums, b.add(b.read(sums), p));
  });
  const sum = foldLanes(b, b.read(sums));
  b.if(
    isFirst,
    () => {
      b.store(max, record, 0, fields.max);
      b.store(sum, record, 0, fields.sum);
    },
    () => {
      const previous = b.load(f32, record, 0, fields.max);
      const merged = b.max(previous, max);
      // Both factors in one vector: the exponential is written once.
      const factors = exponential(b, b.sub(pair(b, previous, max), b.splat(merged, 4)));
      const [before, now] = [b.lane(factors, 0), b.lane(factors, 1)];
      b.store(merged, record, 0, fields.max);
      b.store(b.add(b.mul(b.load(f32, record, 0, fields.sum), before), b.mul(sum, now)), record, 0, fields.sum);
      b.store(before, record, 0, fields.before);
      b.store(now, record, 0, fields.now);
    },
  );
}

/** A f32x4 that holds two scalars in its first lanes. */
function pair(b: KernelBuilder, first: Value, second: Value): Value {
  return b.op("shuffle", [b.splat(first, 4), b.splat(second, 4)], [0, 4, 0, 4]);
}
