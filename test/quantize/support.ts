/** Weights and inputs for tests of rounding: inputs that have much in common, as a model's have. */
import { factorOf, type Factor } from "../../compiler/quantize/factor.ts";
import type { QuadraticForm } from "../../compiler/quantize/descend.ts";
import { Moments } from "../../compiler/quantize/moments.ts";
import { seededBy } from "../conformance/random.ts";

/** `count` numbers of mean 0, the same for the same seed. */
export function numbers(seed: string, count: number): Float32Array {
  const random = seededBy(seed);
  return Float32Array.from({ length: count }, () => random.unit() + random.unit() - 1);
}

/** `rows` inputs of `width` elements, each a mixture of few. */
export function correlatedRows(seed: string, rows: number, width: number): Float32Array {
  const few = Math.max(1, Math.floor(width / 8));
  const [mixture, own, shared] = [numbers(`${seed} mixture`, width * few), numbers(`${seed} own`, rows * width), numbers(seed, rows * few)];
  return own.map((value, at) => {
    const [row, k] = [Math.floor(at / width), at % width];
    let sum = value / 4;
    for (let i = 0; i < few; i++) sum += (shared[row * few + i] ?? 0) * (mixture[k * few + i] ?? 0);
    return sum;
  });
}

/** The factor of correlated inputs. */
export function correlatedFactor(seed: string, width: number): Factor & { readonly form: QuadraticForm } {
  const moments = new Moments(width);
  moments.add(correlatedRows(seed, 2 * width, width));
  const form = { width, triangle: moments.triangle(), ridge: 0.01 * moments.meanSquare() };
  return { ...factorOf(form), form };
}

/** tr(E (H + ridge) E^T) of the errors of `rounded`, term by term. */
export function lossOf({ width, triangle, ridge }: QuadraticForm, w: Float32Array, rounded: Float32Array): number {
  const h = (i: number, j: number): number => {
    const [row, column] = i > j ? [i, j] : [j, i];
    return (triangle[(row * (row + 1)) / 2 + column] ?? 0) + (i === j ? ridge : 0);
  };
  const error = (at: number): number => (w[at] ?? 0) - (rounded[at] ?? 0);
  let loss = 0;
  for (let start = 0; start < w.length; start += width) {
    for (let i = 0; i < width; i++) for (let j = 0; j < width; j++) loss += error(start + i) * h(i, j) * error(start + j);
  }
  return loss;
}
