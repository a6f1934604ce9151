/** Rows combined element by element, for graphs in which no product's epilogue can do it. */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { silu } from "./functions.ts";
import { f32Bytes, f32Offset, f32x16, forChunks } from "./lanes.ts";
import { rowCount } from "./rows.ts";

const combinations = {
  /** a + b. */
  add: (b: KernelBuilder, x: Value, y: Value): Value => b.add(x, y),
  /** silu(a) * b. */
  swiglu: (b: KernelBuilder, x: Value, y: Value): Value => b.mul(silu(b, x), y),
} as const;

export interface ElementwiseSpec {
  readonly combination: keyof typeof combinations;
  readonly width: number;
  readonly strides: readonly [number, number];
  readonly outputStride: number;
}

/** a and b, rows of f32 at strides of their own, to rows of f32. */
export function elementwise({ combination, width, strides, outputStride }: ElementwiseSpec): Kernel {
  return recordKernel(`${combination}_${width}_s${strides.join("_s")}_s${outputStride}`, `${combination} of rows of ${width}`, (b) => {
    const input = (name: string, stride: number): Value => b.pointer(name, "read", `[rows, ${width}] f32, rows ${stride} apart`);
    const [left, right] = [input("a", strides[0]), input("b", strides[1])];
    const out = b.pointer("out", "write", `[rows, ${width}] f32, rows ${outputStride} apart`);
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      const [leftRow, rightRow] = [b.advance(left, row, strides[0] * f32Bytes), b.advance(right, row, strides[1] * f32Bytes)];
      const target = b.advance(out, row, outputStride * f32Bytes);
      forChunks(b, width, ({ start, count }) => {
        const at = f32Offset(b, start);
        const [x, y] = [b.load(f32x16, leftRow, at, 0, count), b.load(f32x16, rightRow, at, 0, count)];
        b.store(combinations[combination](b, x, y), target, at, 0, count);
      });
    });
  });
}
