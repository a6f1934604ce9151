/** Rows combined element by element, for graphs in which no product's epilogue can do it. */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { silu } from "./functions.ts";
import { f32Bytes, f32Offset, f32x16, forChunks } from "./lanes.ts";

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

export function elementwise({ combination, width, strides, outputStride }: ElementwiseSpec): Kernel {
  return recordKernel(`${combination}_${width}_s${strides.join("_s")}_s${outputStride}`, `${combination} of rows of ${width}`, (b) => {
    const inputs = strides.map((stride, i) => b.pointer(i === 0 ? "a" : "b", "read", `[rows, ${width}] f32, rows ${stride} apart`));
    const out = b.pointer("out", "write", `[rows, ${width}] f32, rows ${outputStride} apart`);
    const rows = b.scalar("rows", "rows of the call");
    b.for("row", 0, rows, 1, (row) => {
      const pointers = inputs.map((input, i) => b.advance(input, row, (strides[i] ?? 0) * f32Bytes));
      const target = b.advance(out, row, outputStride * f32Bytes);
      forChunks(b, width, ({ start, count }) => {
        const at = f32Offset(b, start);
        const [x, y] = pointers.map((pointer) => b.load(f32x16, pointer, at, 0, count));
        if (x && y) b.store(combinations[combination](b, x, y), target, at, 0, count);
      });
    });
  });
}
