/** Elementwise steps that several ops end with. Sums of two binary32 numbers are rounded once, by the store, in either arithmetic. */
import { lastAxis, type DenseTensor } from "../tensor.ts";

/** out[row, n] += bias[n]. */
export function addBias(out: Float32Array, bias: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) + (bias[i % bias.length] ?? 0);
}

/** out[i] += other[i]. */
export function addElements(out: Float32Array, other: Float32Array): void {
  for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) + (other[i] ?? 0);
}

/** Elements `start … start + size - 1` of each row. */
export function columnsOf({ shape, data }: DenseTensor, start: number, size: number): Float32Array {
  const width = lastAxis(shape);
  const rows = data.length / width;
  const out = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) out.set(data.subarray(row * width + start, row * width + start + size), row * size);
  return out;
}
