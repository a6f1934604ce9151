/** The inner product of f32 activations with float weights: one accumulator an output, k rising, sum + x * w. */
import type { Index, KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";
import { floatActivations } from "./activations.ts";
import { halfToFloat } from "./functions.ts";
import { f32Bytes, f32x16 } from "./lanes.ts";
import { allPanels, columnBytes, panelBytes, panelRows, type FloatEncoding, type PanelLayout } from "./panels.ts";
import { prefetchAhead } from "./prefetch.ts";
import { accumulate, newSums, type Product } from "./product.ts";

/** Activations lie `stride` elements from row to row. */
export function floatProduct(b: KernelBuilder, layout: PanelLayout, encoding: FloatEncoding, stride: number): Product {
  const { columns } = layout;
  const x = floatActivations(b, columns, stride);
  const weights = b.pointer("weights", "read", `panels [${allPanels(layout)}, ${columns}, 16] ${encoding.weights}`);
  const unroll = columns % 4 === 0 ? 4 : 1;
  return (row, panel, count) => {
    const input = b.advance(x, row, stride * f32Bytes);
    const panels = b.advance(weights, panel, panelBytes(layout));
    const sums = newSums(b, count);
    b.for("k", 0, columns, unroll, (k) => {
      prefetchAhead(b, panels, b.mul(k, columnBytes(encoding)), unroll * columnBytes(encoding));
      for (let u = 0; u < unroll; u++) {
        const w = loadColumn(b, encoding, panels, b.mul(k, columnBytes(encoding)), u * columnBytes(encoding));
        accumulate(b, sums, w, (i) => b.loadSplat(f32x16, input, b.mul(k, f32Bytes), (i * stride + u) * f32Bytes));
      }
    });
    return sums.map((sum) => b.read(sum));
  };
}

/** One column of 16 rows as f32. */
function loadColumn(b: KernelBuilder, { weights }: FloatEncoding, pointer: Value, index: Index, offset: number): Value {
  if (weights === "f32") return b.load(f32x16, pointer, index, offset);
  const halves = b.widenS(b.load(vector("i16", panelRows), pointer, index, offset));
  return weights === "f16" ? halfToFloat(b, halves) : b.bitcast(b.shl(halves, 16), f32x16);
}
