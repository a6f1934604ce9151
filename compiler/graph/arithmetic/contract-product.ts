/**
 * Products of activations and weights under the contract: one accumulator per output, k (or groups of 32 along k) rising. The
 * inner loops keep several outputs' chains apart so that the interpreter is fast enough for whole prompts.
 */
import { internal } from "../../errors.ts";
import { groupSize, type QuantizedActivations } from "../../numeric/quantize.ts";
import { unscaledWeight, type GroupedWeights } from "../../numeric/weight-groups.ts";
import { lastAxis, rowCount, type Activation, type DenseTensor, type Weight } from "../tensor.ts";

const f = Math.fround;

/** `Arithmetic.product` under the contract. Quantised activations meet quantised weights only. */
export function contractProduct(x: Activation, weight: Weight, first: number, count: number): Float32Array {
  if (x.kind === "activations") {
    if (weight.kind === "dense") return internal("quantised activations with weights that are not");
    return quantizedProduct(x.groups, weight.groups, first, count);
  }
  const width = lastAxis(x.shape);
  if (weight.kind === "weights")
    return denseProduct(x, unscaledWeights(weight.groups, first, count, width), count, 2 ** -weight.groups.exponent);
  return denseProduct(x, weight.data.subarray(first * width, (first + count) * width), count, 1);
}

/** acc = acc + x*w, k rising; then times `unscale`, a power of two. */
function denseProduct(x: DenseTensor, weights: Float32Array, count: number, unscale: number): Float32Array {
  const rows = rowCount(x.shape);
  const width = lastAxis(x.shape);
  const out = new Float32Array(rows * count);
  const sums = new Float32Array(4);
  for (let n = 0; n < count; n += 4) {
    for (let row = 0; row < rows; row++) {
      fourProducts(x.data.subarray(row * width, (row + 1) * width), weights, n * width, sums);
      for (let i = 0; i < 4 && n + i < count; i++) out[row * count + n + i] = f((sums[i] ?? 0) * unscale);
    }
  }
  return out;
}

/**
 * Four outputs at once, because one chain of rounded additions leaves the machine idle (2 to 4 times as fast as one by one on the
 * demo model). Past the last weight it sums zeros, which nobody takes.
 */
function fourProducts(x: Float32Array, weights: Float32Array, start: number, sums: Float32Array): void {
  const width = x.length;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let k = 0, at = start; k < width; k++, at++) {
    const value = x[k] ?? 0;
    a = f(a + f(value * (weights[at] ?? 0)));
    b = f(b + f(value * (weights[at + width] ?? 0)));
    c = f(c + f(value * (weights[at + 2 * width] ?? 0)));
    d = f(d + f(value * (weights[at + 3 * width] ?? 0)));
  }
  sums.set([a, b, c, d]);
}

/** Rows of weights without the 2^-exponent. */
function unscaledWeights(w: GroupedWeights, first: number, count: number, width: number): Float32Array {
  const values = new Float32Array(count * width);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < width; k++) values[row * width + k] = unscaledWeight(w, (first + row) * w.columns + k, f);
  }
  return values;
}

/** acc = acc + float(isum) * (dw*dx), and + float(qsum) * (mw*dx), over all groups, the padding's too; then times 2^-exponent. */
function quantizedProduct(x: QuantizedActivations, w: GroupedWeights, first: number, count: number): Float32Array {
  const { rows, columns, q } = x;
  if (columns !== w.columns) internal("activations and weights of different width");
  const groupCount = columns / groupSize;
  const unscale = 2 ** -w.exponent;
  const out = new Float32Array(rows * count);
  for (let n = 0; n < count; n++) {
    for (let row = 0; row < rows; row++) {
      let acc = 0;
      for (let group = 0; group < groupCount; group++) {
        const qStart = row * columns + group * groupSize;
        const uStart = (first + n) * columns + group * groupSize;
        // The sum of (u - offset) * q is at most 32 * 128 * 127: exact as an integer and as binary32.
        let sum = 0;
        for (let k = 0; k < groupSize; k++) sum += ((w.u[uStart + k] ?? 0) - w.offset) * (q[qStart + k] ?? 0);
        const dx = x.scales[row * groupCount + group] ?? 0;
        const ofWeights = (first + n) * groupCount + group;
        acc = f(acc + f(sum * f((w.scales[ofWeights] ?? 0) * dx)));
        if (w.minimums) acc = f(acc + f((x.sums[row * groupCount + group] ?? 0) * f((w.minimums[ofWeights] ?? 0) * dx)));
      }
      out[row * count + n] = f(acc * unscale);
    }
  }
  return out;
}
