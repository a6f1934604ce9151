/**
 * Rotary position embedding of every head: pairs (m, m + headSize/2) turn by the position's angle, whose cosine and sine come from
 * two tables (numeric/rope): c = ch * cl - sh * sl, s = sh * cl + ch * sl.
 */
import { ropeStride } from "../../numeric/rope.ts";
import { recordKernel } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { f32Bytes, f32Offset, f32x16, forChunks } from "./lanes.ts";
import { rowCount, rowFields, rowList } from "./rows.ts";

export interface RopeSpec {
  readonly heads: number;
  readonly headSize: number;
  readonly inputStride: number;
  readonly outputStride: number;
}

/** Rows of f32 heads to rows of turned heads; strides are in elements. */
export function rope({ heads, headSize, inputStride, outputStride }: RopeSpec): Kernel {
  const half = headSize / 2;
  return recordKernel(
    `rope_${heads}x${headSize}_s${inputStride}_s${outputStride}`,
    `turns ${heads} heads of ${headSize} by the row's position`,
    (b) => {
      const x = b.pointer("x", "read", `x [rows, ${heads}, ${headSize}] f32, rows ${inputStride} apart`);
      const low = b.pointer("low", "read", `cosines, then sines of positions 0 to ${ropeStride - 1}: [${ropeStride}, ${headSize}] f32`);
      const high = b.pointer("high", "read", `the same of every ${ropeStride}th position`);
      const rows = rowList(b);
      const out = b.pointer("out", "write", `turned heads, rows ${outputStride} apart`);
      const count = rowCount(b);
      b.for("row", 0, count, 1, (row) => {
        const { position } = rowFields(b, rows, row);
        const lowRow = b.advance(low, b.remU(position, ropeStride), headSize * f32Bytes);
        const highRow = b.advance(high, b.divU(position, ropeStride), headSize * f32Bytes);
        const input = b.advance(x, row, inputStride * f32Bytes);
        const output = b.advance(out, row, outputStride * f32Bytes);
        forChunks(b, half, ({ start, count: lanes }) => {
          const at = f32Offset(b, start);
          const read = (pointer: Value, offset: number): Value => b.load(f32x16, pointer, at, offset, lanes);
          const [cl, sl] = [read(lowRow, 0), read(lowRow, half * f32Bytes)];
          const [ch, sh] = [read(highRow, 0), read(highRow, half * f32Bytes)];
          const c = b.sub(b.mul(ch, cl), b.mul(sh, sl));
          const s = b.add(b.mul(sh, cl), b.mul(ch, sl));
          b.for("head", 0, heads, 1, (head) => {
            const from = b.advance(input, head, headSize * f32Bytes);
            const to = b.advance(output, head, headSize * f32Bytes);
            const [v, w] = [read(from, 0), read(from, half * f32Bytes)];
            b.store(b.sub(b.mul(v, c), b.mul(w, s)), to, at, 0, lanes);
            b.store(b.add(b.mul(w, c), b.mul(v, s)), to, at, half * f32Bytes, lanes);
          });
        });
      });
    },
  );
}
