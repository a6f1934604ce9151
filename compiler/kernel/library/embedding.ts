/** Token embedding: row `token` of a packed matrix, as f32. The matrix may be the language model head's own. */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import { f32, i32, type Kernel, type Value } from "../ir.ts";
import { normalHalfToFloat } from "./functions.ts";
import { f32Bytes } from "./lanes.ts";
import {
  blockBytes,
  encodingName,
  groupBytes,
  panelBytes,
  panelRows,
  panelsStart,
  runLength,
  scaleRowBytes,
  type PanelLayout,
} from "./panels.ts";
import { rowFields } from "./rows.ts";
import { internal } from "../../errors.ts";

export function embedding({ layout, stride }: { readonly layout: PanelLayout; readonly stride: number }): Kernel {
  const name = `embedding_${encodingName(layout.encoding)}_${layout.rows}x${layout.columns}_s${stride}`;
  return recordKernel(name, `rows of a ${layout.rows} x ${layout.columns} table`, (b) => {
    const rows = b.pointer("row_list", "read", "rows of the call: token, slot, position, wantsLogits");
    const table = b.pointer("table", "read", `${encodingName(layout.encoding)} panels of [${layout.rows}, ${layout.columns}]`);
    const out = b.pointer("out", "write", `x [rows, ${layout.columns}] f32, rows ${stride} apart`);
    const count = b.scalar("rows", "rows of the call");
    b.for("row", 0, count, 1, (row) => {
      const { token } = rowFields(b, rows, row);
      const panel = b.advance(table, b.divU(token, panelRows), panelBytes(layout));
      const output = b.advance(out, row, stride * f32Bytes);
      const lane = b.remU(token, panelRows);
      if (layout.encoding.weights === "f32") copyColumns(b, layout, panel, lane, output);
      else dequantize(b, layout, { panel, lane, output, unscale: b.load(f32, table) });
    });
  });
}

function copyColumns(b: KernelBuilder, { columns }: PanelLayout, panel: Value, lane: Value, output: Value): void {
  const laneBytes = b.mul(lane, f32Bytes);
  b.for("column", 0, columns, 1, (column) => {
    b.store(b.load(f32, panel, b.add(b.mul(column, panelRows * f32Bytes), laneBytes)), output, b.mul(column, f32Bytes));
  });
}

interface RowPlace {
  readonly panel: Value;
  readonly lane: Value;
  readonly output: Value;
  readonly unscale: Value;
}

/** (dw * (u - 8)) * 2^-exponent, in runs of four columns: the low nibbles of a byte run, then the high ones. */
function dequantize(b: KernelBuilder, layout: PanelLayout, { panel, lane, output, unscale }: RowPlace): void {
  if (layout.encoding.weights !== "q4_0") internal("dequantises q4_0 only");
  const { scales } = layout.encoding;
  const runBytes = panelRows * runLength;
  const runsPerGroup = groupBytes / runBytes;
  b.for("pair", 0, Math.ceil(layout.columns / (2 * runLength)), 1, (pair) => {
    const group = b.divU(pair, runsPerGroup);
    const block = b.mul(b.divU(group, 2), blockBytes(scales));
    const half = b.and(group, 1);
    const scaleAt = b.add(b.add(block, b.mul(half, scaleRowBytes(scales))), b.mul(lane, scales === "f16" ? 2 : 4));
    const scale =
      scales === "f16"
        ? normalHalfToFloat(b, b.load16(panel, scaleAt, panelsStart(layout)))
        : b.load(f32, panel, scaleAt, panelsStart(layout));
    const inGroup = b.add(b.mul(half, groupBytes), b.mul(b.and(pair, runsPerGroup - 1), runBytes));
    const nibblesAt = b.add(b.add(block, inGroup), b.mul(lane, runLength));
    const bytes = b.load(i32, panel, nibblesAt, panelsStart(layout) + 2 * scaleRowBytes(scales));
    for (let column = 0; column < 2 * runLength; column++) {
      const bit = 8 * (column % runLength) + (column < runLength ? 0 : 4);
      const u = b.and(b.shrU(bytes, bit), 15);
      const w = b.mul(b.mul(scale, b.toFloat(b.sub(u, 8))), unscale);
      b.store(w, output, b.mul(pair, 2 * runLength * f32Bytes), column * f32Bytes);
    }
  });
}
