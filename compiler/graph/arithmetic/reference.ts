/** The plain reading: binary64 with the engine's Math, rounded where a result is stored. Close to any right implementation, bound to none. */
import { required } from "../../errors.ts";
import type { QuantizedActivations } from "../../numeric/quantize.ts";
import { inverseFrequencies } from "../../numeric/rope.ts";
import { unscaledWeight, type GroupedWeights } from "../../numeric/weight-groups.ts";
import { lastAxis, rowCount, type Activation, type Weight } from "../tensor.ts";
import type { Arithmetic, AttentionHead } from "./arithmetic.ts";

export const reference: Arithmetic = {
  mode: "reference",
  round: (x) => x,
  sum(length, term) {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += term(i);
    return sum;
  },
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  product,
  ropeAngles(headSize, base, position, m) {
    const frequency = required(frequenciesOf(headSize, base)[m], "frequency of a pair");
    const angle = Math.fround(position * frequency);
    return { cos: Math.cos(angle), sin: Math.sin(angle) };
  },
  attend,
};

function product(x: Activation, weight: Weight, first: number, count: number): Float32Array {
  const rows = rowCount(x.shape);
  const width = lastAxis(x.shape);
  const activations = x.kind === "dense" ? x.data : activationValues(x.groups, width);
  const weights =
    weight.kind === "dense"
      ? weight.data.subarray(first * width, (first + count) * width)
      : weightValues(weight.groups, first, count, width);
  const out = new Float32Array(rows * count);
  for (let n = 0; n < count; n++) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += (activations[row * width + k] ?? 0) * (weights[n * width + k] ?? 0);
      out[row * count + n] = sum;
    }
  }
  return out;
}

function activationValues({ rows, columns, q, scales }: QuantizedActivations, width: number): Float64Array {
  const values = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < width; k++) {
      const index = row * columns + k;
      values[row * width + k] = (q[index] ?? 0) * (scales[index >> 5] ?? 0);
    }
  }
  return values;
}

function weightValues(w: GroupedWeights, first: number, count: number, width: number): Float64Array {
  const values = new Float64Array(count * width);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < width; k++) {
      values[row * width + k] = unscaledWeight(w, (first + row) * w.columns + k, reference.round) * 2 ** -w.exponent;
    }
  }
  return values;
}

const frequencyCache = new Map<string, Float32Array>();

function frequenciesOf(headSize: number, base: number): Float32Array {
  const key = `${headSize}/${base}`;
  const frequencies = frequencyCache.get(key) ?? inverseFrequencies(headSize, base);
  frequencyCache.set(key, frequencies);
  return frequencies;
}

function attend({ query, keys, values, width, offset, first, last, scale }: AttentionHead, out: Float32Array): void {
  const size = query.length;
  const scores = new Float64Array(last - first + 1);
  for (let i = 0; i < scores.length; i++) {
    let dot = 0;
    for (let d = 0; d < size; d++) dot += (query[d] ?? 0) * (keys[(first + i) * width + offset + d] ?? 0);
    scores[i] = dot * scale;
  }
  const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map((score) => Math.exp(score - max));
  const total = weights.reduce((a, b) => a + b, 0);
  const sums = new Float64Array(size);
  weights.forEach((weight, i) => {
    for (let d = 0; d < size; d++) sums[d] = (sums[d] ?? 0) + weight * (values[(first + i) * width + offset + d] ?? 0);
  });
  out.set(sums.map((sum) => sum / total));
}
