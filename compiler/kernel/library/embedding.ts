/** Token embedding: row `token` of a packed matrix, as f32. The matrix may be the language model head's own. */
import { groupSize } from "../../numeric/quantize.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import { recordKernel, type Index, type KernelBuilder } from "../builder.ts";
import { f32, i32, type Kernel, type Value } from "../ir.ts";
import { halfToFloat, normalHalfToFloat } from "./functions.ts";
import { centred, forWords, numberOf } from "./group-numbers.ts";
import { f32Bytes } from "./lanes.ts";
import {
  blockBytes,
  columnBytes,
  encodingName,
  groupBytes,
  groupOffsets,
  isGrouped,
  panelBytes,
  panelRows,
  panelsStart,
  runLength,
  scaleRowBytes,
  wordBytes,
  type FloatEncoding,
  type GroupEncoding,
  type PanelLayout,
} from "./panels.ts";
import { rowCount, rowFields, rowList } from "./rows.ts";

/** The table's row of every row's token: [rows, columns] f32, rows `stride` elements apart. */
export function embedding({ layout, stride }: { readonly layout: PanelLayout; readonly stride: number }): Kernel {
  const name = `embedding_${encodingName(layout.encoding)}_${layout.rows}x${layout.columns}_s${stride}`;
  return recordKernel(name, `rows of a ${layout.rows} x ${layout.columns} table`, (b) => {
    const rows = rowList(b);
    const table = b.pointer("table", "read", `${encodingName(layout.encoding)} panels of [${layout.rows}, ${layout.columns}]`);
    const out = b.pointer("out", "write", `x [rows, ${layout.columns}] f32, rows ${stride} apart`);
    const count = rowCount(b);
    b.for("row", 0, count, 1, (row) => {
      const { token } = rowFields(b, rows, row);
      const panel = b.advance(table, b.divU(token, panelRows), panelBytes(layout));
      const output = b.advance(out, row, stride * f32Bytes);
      const lane = b.remU(token, panelRows);
      const { encoding } = layout;
      if (isGrouped(encoding)) dequantize(b, layout, encoding, { panel, lane, output, unscale: b.load(f32, table) });
      else copyColumns(b, layout, encoding, { panel, lane, output });
    });
  });
}

interface RowPlace {
  readonly panel: Value;
  readonly lane: Value;
  readonly output: Value;
}

function copyColumns(b: KernelBuilder, { columns }: PanelLayout, encoding: FloatEncoding, { panel, lane, output }: RowPlace): void {
  const laneBytes = b.mul(lane, columnBytes(encoding) / panelRows);
  b.for("column", 0, columns, 1, (column) => {
    const value = loadFloat(b, encoding, panel, b.add(b.mul(column, columnBytes(encoding)), laneBytes));
    b.store(value, output, b.mul(column, f32Bytes));
  });
}

function loadFloat(b: KernelBuilder, { weights }: FloatEncoding, pointer: Value, index: Value): Value {
  if (weights === "f32") return b.load(f32, pointer, index);
  const half = b.load16(pointer, index);
  const top = b.shl(half, 16);
  return weights === "f16" ? halfToFloat(b, b.shrS(top, 16)) : b.bitcast(top, f32);
}

/** w * 2^-exponent, w = dw * (u - offset) or dw * u + mw, group by group. */
function dequantize(
  b: KernelBuilder,
  layout: PanelLayout,
  encoding: GroupEncoding,
  { panel, lane, output, unscale }: RowPlace & { readonly unscale: Value },
): void {
  const { bits, offset } = groupFormats[encoding.weights];
  const start = panelsStart(layout);
  const places = groupOffsets(encoding, 0);
  const scaleBytes = scaleRowBytes(encoding.scales) / panelRows;
  const dequantizeGroup = (group: Value, columns: number): void => {
    const block = b.mul(b.divU(group, 2), blockBytes(encoding));
    const half = b.and(group, 1);
    const scaleAt = b.add(b.add(block, b.mul(half, scaleRowBytes(encoding.scales))), b.mul(lane, scaleBytes));
    const float = (at: number, convert: typeof halfToFloat): Value =>
      encoding.scales === "f32"
        ? b.load(f32, panel, scaleAt, start + at)
        : convert(b, b.shrS(b.shl(b.load16(panel, scaleAt, start + at), 16), 16));
    const scale = float(places.scales, normalHalfToFloat);
    const minimum = places.minimums === null ? null : float(places.minimums, halfToFloat);
    const values = b.add(b.add(block, b.mul(half, groupBytes(encoding))), b.mul(lane, runLength));
    const load = (word: Index): Value =>
      b.load(i32, panel, b.add(values, typeof word === "number" ? b.int(word * wordBytes) : b.mul(word, wordBytes)), start + places.values);
    forWords(b, { bits, columns, type: i32 }, load, (word) => {
      const first = b.add(b.mul(group, groupSize), typeof word.first === "number" ? b.int(word.first) : word.first);
      for (let column = 0; column < word.count; column++) {
        const scaled = b.mul(scale, b.toFloat(centred(b, numberOf(b, bits, word, column), offset)));
        const w = minimum ? b.add(scaled, minimum) : scaled;
        b.store(b.mul(w, unscale), output, b.mul(first, f32Bytes), column * f32Bytes);
      }
    });
  };
  const whole = Math.floor(layout.columns / groupSize);
  b.for("group", 0, whole, 1, (group) => {
    dequantizeGroup(group, groupSize);
  });
  if (layout.columns % groupSize > 0) dequantizeGroup(b.int(whole), layout.columns % groupSize);
}
