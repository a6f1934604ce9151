/**
 * The router of a mixture of experts, whole: gate product, sigmoid, bias, choice, weights. p = sigmoid(x * gate^T); the `topK` experts with
 * the largest p + bias are chosen (ties: the lower index) and listed in rising index; an expert's weight is p, over (the sum + 1e-6) where
 * normalised, times the scale.
 */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import { f32, type Kernel, type Value } from "../ir.ts";
import { floatProduct } from "./float-product.ts";
import { sigmoid } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16, foldLanes, i32x16, laneCount, laneNumbers } from "./lanes.ts";
import { numberName } from "./names.ts";
import { panelCount, type PanelLayout } from "./panels.ts";
import { rowCount } from "./rows.ts";

export interface RouterSpec {
  readonly expertCount: number;
  /** Columns of the gate. */
  readonly width: number;
  readonly topK: number;
  readonly bias: boolean;
  /** Added to the sum that weights are divided by; null where they are not normalised. */
  readonly epsilon: number | null;
  readonly scale: number;
  readonly inputStride: number;
  /** Elements from row to row of the chosen experts and of their weights. */
  readonly outputStride: number;
}

const encoding = { weights: "f32" } as const;

/** The gate is f32 under every quantisation. */
export function gateLayout(expertCount: number, width: number): PanelLayout {
  return { encoding, matrices: 1, streams: 1, rows: expertCount, columns: width };
}

/** Scratch of the router: p, and the scores that choose, each padded to whole panels. */
export function routerScratchBytes(expertCount: number): number {
  return 2 * scoresStart(expertCount);
}

function scoresStart(expertCount: number): number {
  return Math.ceil(expertCount / laneCount) * chunkBytes;
}

/** x [rows, width] -> experts [rows, topK] i32, weights [rows, topK] f32. */
export function router(spec: RouterSpec): Kernel {
  const { expertCount, width, topK, epsilon, inputStride, outputStride } = spec;
  const weighing = [...(spec.bias ? ["bias"] : []), ...(epsilon === null ? [] : [`e${numberName(epsilon)}`]), `x${numberName(spec.scale)}`];
  const name = `router_${topK}of${expertCount}_k${width}_s${inputStride}_s${outputStride}_${weighing.join("_")}`;
  return recordKernel(name, `${topK} of ${expertCount} experts for each row`, (b) => {
    const product = floatProduct(b, gateLayout(expertCount, width), encoding, inputStride);
    const bias = spec.bias ? b.pointer("bias", "read", `added to scores that choose [${expertCount}] f32`) : null;
    const scratch = b.pointer("scratch", "read-write", `sigmoids, then scores: [2, ${scoresStart(expertCount) / f32Bytes}] f32`);
    const experts = b.pointer("experts", "write", `chosen experts, rising [rows, ${topK}] i32, rows ${outputStride} apart`);
    const weights = b.pointer("out", "read-write", `their weights [rows, ${topK}] f32, rows ${outputStride} apart`);
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      b.for("panel", 0, panelCount(gateLayout(expertCount, width)), 1, (panel) => {
        for (const gate of product(row, panel, 1)) storeScores(b, spec, { scratch, bias, panel, p: sigmoid(b, gate) });
      });
      const rowBytes = outputStride * f32Bytes;
      chooseAndWeigh(b, spec, scratch, b.advance(experts, row, rowBytes), b.advance(weights, row, rowBytes));
    });
  });
}

interface PanelScores {
  readonly scratch: Value;
  readonly bias: Value | null;
  readonly panel: Value;
  readonly p: Value;
}

/** Of 16 experts: p, and p + bias, which is -infinity for the padding, so that nothing comes after it. */
function storeScores(b: KernelBuilder, { expertCount }: RouterSpec, { scratch, bias, panel, p }: PanelScores): void {
  const at = b.mul(panel, chunkBytes);
  const score = bias ? b.add(p, b.load(f32x16, bias, at)) : p;
  b.store(p, scratch, at);
  const isExpert = b.lt(lanesFrom(b, b.mul(panel, laneCount)), expertCount);
  const masked = expertCount % laneCount === 0 ? score : b.select(isExpert, score, b.literal(f32x16, -Infinity));
  b.store(masked, scratch, at, scoresStart(expertCount));
}

/** first, first + 1, … */
function lanesFrom(b: KernelBuilder, first: Value): Value {
  return b.add(b.splat(first, laneCount), laneNumbers(b));
}

/**
 * An expert is chosen if fewer than topK come before it. So many always are, and no more are listed, even where scores are no numbers and
 * nothing comes before anything: what follows may use the list as indices.
 */
function chooseAndWeigh(b: KernelBuilder, spec: RouterSpec, scratch: Value, experts: Value, weights: Value): void {
  const { expertCount, topK, epsilon, scale } = spec;
  const count = b.variable("count", b.int(0));
  const sum = b.variable("sum", b.float(0));
  b.for("expert", 0, expertCount, 1, (expert) => {
    const isAmongFirst = b.lt(expertsBefore(b, expertCount, scratch, expert), topK);
    b.if(b.and(isAmongFirst, b.lt(b.read(count), topK)), () => {
      const p = b.load(f32, scratch, b.mul(expert, f32Bytes));
      const at = b.mul(b.read(count), f32Bytes);
      b.store(expert, experts, at);
      b.store(p, weights, at);
      b.assign(sum, b.add(b.read(sum), p));
      b.assign(count, b.add(b.read(count), 1));
    });
  });
  const divisor = epsilon === null ? null : b.add(b.read(sum), epsilon);
  b.for("slot", 0, topK, 1, (slot) => {
    const at = b.mul(slot, f32Bytes);
    const p = b.load(f32, weights, at);
    b.store(b.mul(divisor ? b.div(p, divisor) : p, scale), weights, at);
  });
}

/** How many experts have a larger score, or the same and a lower index. */
function expertsBefore(b: KernelBuilder, expertCount: number, scratch: Value, expert: Value): Value {
  const scores = scoresStart(expertCount);
  const own = b.loadSplat(f32x16, scratch, b.mul(expert, f32Bytes), scores);
  const index = b.splat(expert, laneCount);
  const lanes = b.variable("before", b.literal(i32x16, 0));
  b.for("panel", 0, Math.ceil(expertCount / laneCount), 1, (panel) => {
    const others = b.load(f32x16, scratch, b.mul(panel, chunkBytes), scores);
    const isLower = b.lt(lanesFrom(b, b.mul(panel, laneCount)), index);
    const isBefore = b.or(b.lt(own, others), b.and(b.eq(own, others), isLower));
    // A comparison's lanes are 0 and -1.
    b.assign(lanes, b.sub(b.read(lanes), isBefore));
  });
  return foldLanes(b, b.read(lanes));
}
