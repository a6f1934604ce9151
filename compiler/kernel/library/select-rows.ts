/** Copies the rows that want logits to the front of another buffer, in order: the last norm and the head see only those. */
import { recordKernel } from "../builder.ts";
import { i32, type Kernel } from "../ir.ts";
import { copyWords, f32Bytes } from "./lanes.ts";
import { rowCount, rowFields, rowList } from "./rows.ts";

/** Rows of `width` f32 to the front of the output; strides are in elements. */
export function selectRows({ width, inputStride, outputStride }: { width: number; inputStride: number; outputStride: number }): Kernel {
  return recordKernel(`select_rows_${width}_s${inputStride}_s${outputStride}`, "rows that want logits", (b) => {
    const rows = rowList(b);
    const x = b.pointer("x", "read", `x [rows, ${width}] f32, rows ${inputStride} apart`);
    const out = b.pointer("out", "write", `chosen rows [logits, ${width}] f32, rows ${outputStride} apart`);
    const count = rowCount(b);
    const next = b.variable("next", b.literal(i32, 0));
    b.for("row", 0, count, 1, (row) => {
      b.if(rowFields(b, rows, row).wantsLogits, () => {
        const from = b.advance(x, row, inputStride * f32Bytes);
        const to = b.advance(out, b.read(next), outputStride * f32Bytes);
        copyWords(b, from, to, width);
        b.assign(next, b.add(b.read(next), 1));
      });
    });
  });
}
