/** What the experts of a row made, weighed and summed: y = ((0 + r0 * y0) + r1 * y1) + …, experts rising, then + residual. */
import { recordKernel } from "../builder.ts";
import { f32, type Kernel } from "../ir.ts";
import { placeList, placeOf } from "./expert-groups.ts";
import { f32Bytes, f32Offset, f32x16, forChunks, laneCount } from "./lanes.ts";
import { rowCount } from "./rows.ts";

export interface CombineExpertsSpec {
  readonly width: number;
  readonly topK: number;
  /** Elements from row to row: of the experts' outputs, of the sum, and of the residual, if any. */
  readonly inputStride: number;
  readonly outputStride: number;
  readonly residualStride: number | null;
  /** Elements from row to row of the router's weights and of the places. */
  readonly routeStride: number;
}

/** [rows * topK, width], sorted by expert, to [rows, width]. */
export function combineExperts(spec: CombineExpertsSpec): Kernel {
  const { width, topK, inputStride, outputStride, residualStride, routeStride } = spec;
  const strides = [inputStride, outputStride, routeStride].map((stride) => `s${stride}`).join("_");
  const name = `combine_experts_${topK}x${width}_${strides}${residualStride === null ? "" : `_residual${residualStride}`}`;
  return recordKernel(name, `the weighed sum of ${topK} experts a row`, (b) => {
    const y = b.pointer("y", "read", `the experts' outputs [rows * ${topK}, ${width}] f32, rows ${inputStride} apart`);
    const weights = b.pointer("weights", "read", `the experts' weights [rows, ${topK}] f32, rows ${routeStride} apart`);
    const places = placeList(b, topK, routeStride);
    const residual =
      residualStride === null
        ? null
        : { pointer: b.pointer("residual", "read", `residual [rows, ${width}] f32, rows ${residualStride} apart`), stride: residualStride };
    const out = b.pointer("out", "write", `sums [rows, ${width}] f32, rows ${outputStride} apart`);
    const rows = rowCount(b);
    b.for("row", 0, rows, 1, (row) => {
      const output = b.advance(out, row, outputStride * f32Bytes);
      const added = residual && b.advance(residual.pointer, row, residual.stride * f32Bytes);
      const rowWeights = b.advance(weights, row, routeStride * f32Bytes);
      forChunks(b, width, ({ start, count }) => {
        const at = f32Offset(b, start);
        const sum = b.variable("sum", b.literal(f32x16, 0));
        b.for("slot", 0, topK, 1, (slot) => {
          const input = b.advance(y, placeOf(b, places, row, slot, routeStride), inputStride * f32Bytes);
          const weight = b.splat(b.load(f32, rowWeights, b.mul(slot, f32Bytes)), laneCount);
          b.assign(sum, b.add(b.read(sum), b.mul(weight, b.load(f32x16, input, at, 0, count))));
        });
        const total = added ? b.add(b.read(sum), b.load(f32x16, added, at, 0, count)) : b.read(sum);
        b.store(total, output, at, 0, count);
      });
    });
  });
}
