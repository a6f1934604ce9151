/**
 * Activations to 8 bits: q = nearest(x * 127 / max|x|) for 32 consecutive elements, their scale max|x| / 127 and their sum
 * (numeric/quantize). Used by itself and as the tail of the RMS norm.
 */
import { groupSize, roundUp, blockSize, smallestActivation } from "../../numeric/quantize.ts";
import { recordKernel, type Index, type KernelBuilder } from "../builder.ts";
import { f32, type Kernel, type Value } from "../ir.ts";
import { roundToInteger } from "./functions.ts";
import { activationParameters } from "./activations.ts";
import { f32Bytes, f32x16, laneCount, largestLane } from "./lanes.ts";
import { rowCount } from "./rows.ts";

/** Pointers to one row of each part of a quantised value. */
export interface QuantizedRow {
  readonly q: Value;
  readonly scales: Value;
  readonly sums: Value;
}

/** Reads 16 elements of the row being quantised, the first `count` of them; the others must be +0. */
export type ReadChunk = (start: Index, count: number) => Value;

export interface QuantizeSpec {
  readonly width: number;
  /** Elements from one input row to the next. */
  readonly stride: number;
  /** Input rows for each row of the call: 1, or the experts that a row went to. */
  readonly runs: number;
}

/** Rows of `width` f32 to rows of 8-bit groups: `runs` of them a row of the call. */
export function quantize({ width, stride, runs }: QuantizeSpec): Kernel {
  const name = `quantize_${runs > 1 ? `${runs}x` : ""}${width}_s${stride}`;
  return recordKernel(name, `8-bit groups of ${runs > 1 ? `${runs} ` : ""}rows of ${width}`, (b) => {
    const x = b.pointer("x", "read", `x [rows${runs > 1 ? ` * ${runs}` : ""}, ${width}] f32, rows ${stride} apart`);
    const out = activationParameters(b, width, "write");
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      b.for("run", 0, runs, 1, (run) => {
        const index = b.add(b.mul(row, runs), run);
        const input = b.advance(x, index, stride * f32Bytes);
        quantizeRow(b, width, quantizedRow(b, out, width, index), (start, count) =>
          typeof start === "number"
            ? b.load(f32x16, input, 0, start * f32Bytes, count)
            : b.load(f32x16, input, b.mul(start, f32Bytes), 0, count),
        );
      });
    });
  });
}

/** Where row `row` of a quantised value lies. */
export function quantizedRow(b: KernelBuilder, { q, scales, sums }: QuantizedRow, width: number, row: Value): QuantizedRow {
  const columns = roundUp(width, blockSize);
  const perGroup = (columns / groupSize) * f32Bytes;
  return { q: b.advance(q, row, columns), scales: b.advance(scales, row, perGroup), sums: b.advance(sums, row, perGroup) };
}

/** Quantises a row of `width` elements, and the zero groups that pad it to whole blocks. */
export function quantizeRow(b: KernelBuilder, width: number, out: QuantizedRow, read: ReadChunk): void {
  const whole = Math.floor(width / groupSize);
  b.for("group", 0, whole, 1, (group) => {
    const start = b.mul(group, groupSize);
    quantizeGroup(b, out, group, [read(start, laneCount), read(b.add(start, laneCount), laneCount)]);
  });
  const zero = b.literal(f32x16, 0);
  for (let group = whole; group < roundUp(width, blockSize) / groupSize; group++) {
    const chunk = (start: number): Value => (start < width ? read(start, Math.min(laneCount, width - start)) : zero);
    quantizeGroup(b, out, b.int(group), [chunk(group * groupSize), chunk(group * groupSize + laneCount)]);
  }
}

function quantizeGroup(b: KernelBuilder, out: QuantizedRow, group: Value, [low, high]: readonly [Value, Value]): void {
  const { scale, inverse } = groupScale(b, [low, high]);
  const factor = b.splat(inverse, laneCount);
  const round = (chunk: Value): Value => roundToInteger(b, b.mul(chunk, factor));
  const integers = [round(low), round(high)] as const;
  integers.forEach((chunk, i) => {
    const bytes = b.narrowS(b.narrowS(chunk));
    b.store(bytes, out.q, b.mul(group, groupSize), i * laneCount);
  });
  const at = b.mul(group, f32Bytes);
  b.store(scale, out.scales, at);
  b.store(sumOfLanes(b, integers), out.sums, at);
}

/** A group's scale, max|x| / 127, and what its elements are multiplied with, 127 / max|x|; both 0 for a group that counts as zero. */
export function groupScale(b: KernelBuilder, [low, high]: readonly [Value, Value]): { readonly scale: Value; readonly inverse: Value } {
  const largest = largestLane(b, b.max(b.abs(low), b.abs(high)));
  const tiny = b.lt(largest, smallestActivation);
  const zero = b.literal(f32, 0);
  return { scale: b.select(tiny, zero, b.div(largest, 127)), inverse: b.select(tiny, zero, b.div(b.float(127), largest)) };
}

/** The exact sum of two i32x16. */
function sumOfLanes(b: KernelBuilder, [low, high]: readonly [Value, Value]): Value {
  let sum = b.add(low, high);
  for (const half of [8, 4, 2]) sum = b.add(b.part(sum, 0, half), b.part(sum, half, half));
  return b.add(b.lane(sum, 0), b.lane(sum, 1));
}
