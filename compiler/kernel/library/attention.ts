/**
 * Causal grouped-query attention over the cache, by blocks of 64 absolute positions, so that chunking cannot move them. In a block:
 * m = max of the scores, p = exp(score - m), l = fold16(p), o = sum of p * v with positions rising. Blocks merge in rising order:
 * m' = max(m, mb), l = l * exp(m - m') + lb * exp(mb - m'), o likewise; the result is o / l. (Online softmax, Milakov and
 * Gimelshein, 2018, with a fixed tree.)
 */
import { required } from "../../errors.ts";
import { blockSize } from "../../numeric/quantize.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value, Variable } from "../ir.ts";
import { exponential } from "./functions.ts";
import { cacheName, headKeyBytes, headValueBytes, valuesStart, type KvCacheSpec } from "./kv-cache.ts";
import { kvFormats, valueColumns } from "./kv-formats.ts";
import { chunkBytes, f32Bytes, f32x16, foldLanes, i32x16, laneCount, largestLane } from "./lanes.ts";
import { numberName } from "./names.ts";
import { rowCount, rowFields, rowList } from "./rows.ts";

export interface AttentionSpec extends KvCacheSpec {
  readonly heads: number;
  readonly scale: number;
  /** Positions that a row sees, itself included; null for all. */
  readonly window: number | null;
  readonly queryStride: number;
  readonly outputStride: number;
}

/** Scratch of one attention call: a block's 64 weights, then the running output of one head. */
export function attentionScratchBytes(headSize: number): number {
  return (blockSize + valueColumns(headSize)) * f32Bytes;
}

const panelsPerBlock = blockSize / laneCount;

/** Attends for every row of the call; the cache holds their keys and values already (kvAppend). */
export function attention(spec: AttentionSpec): Kernel {
  const { heads, kvHeads, headSize, window, queryStride, outputStride } = spec;
  const windowName = window === null ? "" : `_w${window}`;
  const name = `attention_${heads}h_${cacheName(spec)}${windowName}_s${queryStride}_s${outputStride}_x${numberName(spec.scale)}`;
  return recordKernel(name, `${heads} query heads over ${kvHeads} cached heads of ${headSize}`, (b) => {
    const queries = b.pointer("queries", "read", `queries [rows, ${heads}, ${headSize}] f32, rows ${queryStride} apart`);
    const rows = rowList(b);
    const cache = b.pointer("cache", "read", `the layer's cache: ${spec.format} key panels, then value rows`);
    const scratch = b.pointer("scratch", "read-write", `weights [${blockSize}], running output [${valueColumns(spec.headSize)}] f32`);
    const out = b.pointer("out", "write", `attention [rows, ${heads}, ${headSize}] f32, rows ${outputStride} apart`);
    const count = rowCount(b);
    b.for("row", 0, count, 1, (row) => {
      const { slot, position } = rowFields(b, rows, row);
      const session = b.advance(cache, slot, spec.state.slotBytes);
      b.for("head", 0, heads, 1, (head) => {
        const headBytes = b.mul(head, headSize * f32Bytes);
        attendHead(b, spec, {
          query: b.advance(b.advance(queries, row, queryStride * f32Bytes), headBytes, 1),
          out: b.advance(b.advance(out, row, outputStride * f32Bytes), headBytes, 1),
          kvHead: b.divU(head, heads / kvHeads),
          session,
          position,
          scratch,
        });
      });
    });
  });
}

interface Head {
  readonly query: Value;
  readonly out: Value;
  readonly kvHead: Value;
  readonly session: Value;
  readonly position: Value;
  readonly scratch: Value;
}

/** Positions of a block that take part, relative to its start: from <= position < to. */
interface Visible {
  readonly from: Value;
  readonly to: Value;
}

function attendHead(b: KernelBuilder, spec: AttentionSpec, head: Head): void {
  const { headSize, window } = spec;
  const format = kvFormats[spec.format];
  const keys = b.advance(head.session, head.kvHead, headKeyBytes(spec));
  const values = b.advance(b.advance(head.session, 1, valuesStart(spec)), head.kvHead, headValueBytes(spec));
  const lowest = window === null ? b.int(0) : largerInteger(b, b.sub(head.position, window - 1), b.int(0));
  const firstBlock = b.divU(lowest, blockSize);
  const max = b.variable("max", b.float(0));
  const sum = b.variable("sum", b.float(0));
  b.for("block", firstBlock, b.add(b.divU(head.position, blockSize), 1), 1, (block) => {
    const start = b.mul(block, blockSize);
    const visible = {
      from: largerInteger(b, b.sub(lowest, start), b.int(0)),
      to: smallerInteger(b, b.sub(b.add(head.position, 1), start), b.int(blockSize)),
    };
    const scores = blockScores(b, spec, head.query, b.advance(keys, block, panelsPerBlock * format.panelBytes(headSize)));
    const { blockMax, blockSum } = blockWeights(b, scores, visible, head.scratch);
    const output = weightedValues(b, spec, b.advance(values, block, blockSize * format.rowBytes(headSize)), visible, head.scratch);
    const isFirst = b.eq(block, firstBlock);
    b.if(
      isFirst,
      () => {
        output.forEach((o, i) => {
          b.store(b.read(o), head.scratch, 0, runningOffset(i));
        });
        b.assign(max, blockMax);
        b.assign(sum, blockSum);
      },
      () => {
        mergeBlock(b, { max, sum, blockMax, blockSum, output, scratch: head.scratch });
      },
    );
  });
  const total = b.splat(b.read(sum), laneCount);
  for (let i = 0; i * laneCount < headSize; i++) {
    const o = b.load(f32x16, head.scratch, 0, runningOffset(i));
    b.store(b.div(o, total), head.out, 0, i * chunkBytes, Math.min(laneCount, headSize - i * laneCount));
  }
}

/** Offset of a chunk of the running output in the scratch memory. */
function runningOffset(chunk: number): number {
  return blockSize * f32Bytes + chunk * chunkBytes;
}

/** The 64 scores of a block: (sum over the head, rising) * scale, 16 positions a vector. */
function blockScores(b: KernelBuilder, { format, headSize, scale }: AttentionSpec, query: Value, panels: Value): readonly Value[] {
  const { readKeys, panelBytes } = kvFormats[format];
  const sums = Array.from({ length: panelsPerBlock }, (_, i) => b.variable(`score${i}`, b.literal(f32x16, 0)));
  b.for("d", 0, headSize, 1, (d) => {
    const q = b.loadSplat(f32x16, query, b.mul(d, f32Bytes));
    sums.forEach((score, i) => {
      const k = readKeys(b, headSize, panels, d, i * panelBytes(headSize));
      b.assign(score, b.add(b.read(score), b.mul(q, k)));
    });
  });
  return sums.map((score) => b.mul(b.read(score), scale));
}

/** p = exp(score - max) into the scratch memory, 0 where masked; their maximum and their fold16 sum. */
function blockWeights(
  b: KernelBuilder,
  scores: readonly Value[],
  { from, to }: Visible,
  scratch: Value,
): { blockMax: Value; blockSum: Value } {
  const [first, end] = [b.splat(from, laneCount), b.splat(to, laneCount)];
  const masks = scores.map((_, i) => {
    const positions = b.lanes(
      "i32",
      Array.from({ length: laneCount }, (_lane, lane) => i * laneCount + lane),
    );
    return b.select(b.lt(positions, first), b.literal(i32x16, 0), b.lt(positions, end));
  });
  const nothing = b.literal(f32x16, -Infinity);
  const seen = scores.map((score, i) => b.select(required(masks[i], "mask"), score, nothing));
  const blockMax = largestLane(
    b,
    seen.reduce((max, score) => b.max(max, score)),
  );
  const max = b.splat(blockMax, laneCount);
  const zero = b.literal(f32x16, 0);
  let lanes = zero;
  seen.forEach((score, i) => {
    const p = b.select(required(masks[i], "mask"), exponential(b, b.sub(score, max)), zero);
    b.store(p, scratch, 0, i * chunkBytes);
    lanes = b.add(lanes, p);
  });
  return { blockMax, blockSum: foldLanes(b, lanes) };
}

/** o[d] = sum of p * v over the visible positions, rising. */
function weightedValues(b: KernelBuilder, spec: AttentionSpec, values: Value, { from, to }: Visible, scratch: Value): readonly Variable[] {
  const { headSize } = spec;
  const { readValue, rowBytes } = kvFormats[spec.format];
  const output = Array.from({ length: valueColumns(headSize) / laneCount }, (_, i) => b.variable(`o${i}`, b.literal(f32x16, 0)));
  b.for("position", from, to, 1, (position) => {
    const p = b.loadSplat(f32x16, scratch, b.mul(position, f32Bytes));
    output.forEach((o, i) => {
      const v = readValue(b, headSize, values, b.mul(position, rowBytes(headSize)), i);
      b.assign(o, b.add(b.read(o), b.mul(p, v)));
    });
  });
  return output;
}

interface Merge {
  readonly max: Variable;
  readonly sum: Variable;
  readonly blockMax: Value;
  readonly blockSum: Value;
  readonly output: readonly Variable[];
  readonly scratch: Value;
}

/** Merges a block into the running maximum, sum and output. */
function mergeBlock(b: KernelBuilder, { max, sum, blockMax, blockSum, output, scratch }: Merge): void {
  const previous = b.read(max);
  const merged = b.max(previous, blockMax);
  // Both corrections in one vector: the exponential is written once.
  const corrections = exponential(b, b.sub(pair(b, previous, blockMax), b.splat(merged, 4)));
  const [before, now] = [b.lane(corrections, 0), b.lane(corrections, 1)];
  b.assign(max, merged);
  b.assign(sum, b.add(b.mul(b.read(sum), before), b.mul(blockSum, now)));
  output.forEach((o, i) => {
    const running = b.mul(b.load(f32x16, scratch, 0, runningOffset(i)), b.splat(before, laneCount));
    b.store(b.add(running, b.mul(b.read(o), b.splat(now, laneCount))), scratch, 0, runningOffset(i));
  });
}

/** A f32x4 that holds two scalars in its first lanes. */
function pair(b: KernelBuilder, first: Value, second: Value): Value {
  return b.op("shuffle", [b.splat(first, 4), b.splat(second, 4)], [0, 4, 0, 4]);
}

function largerInteger(b: KernelBuilder, x: Value, y: Value): Value {
  return b.select(b.lt(x, y), y, x);
}

function smallerInteger(b: KernelBuilder, x: Value, y: Value): Value {
  return b.select(b.lt(x, y), x, y);
}
