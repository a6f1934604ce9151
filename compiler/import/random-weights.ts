/**
 * Weights out of nothing, for benchmarks and size checks of a config alone. Every value is a function of (seed, tensor name, row,
 * column), so any range of rows reads the same in any order. Linears have variance 1/K, norms are near 1, so activations keep unit
 * scale through any number of layers.
 */
import { LfmcError } from "../errors.ts";
import { checkRange, roundedGroups, rowShape, type TensorInfo, type WeightStore } from "./weight-store.ts";
import { mix } from "../numeric/mix.ts";

/** Centre and standard deviation of a tensor's values. */
interface Distribution {
  readonly mean: number;
  readonly deviation: number;
}

/** The sum of two uniform 16-bit halves less their mean has this standard deviation: 2^16 / sqrt(6). */
const halvesDeviation = 65536 / Math.sqrt(6);

/** A store of the expected tensors whose values depend on `seed` (any integer; its lower 32 bits count) and nothing else. */
export function randomWeights(expected: readonly TensorInfo[], seed: number): WeightStore {
  const tensors = new Map(expected.map((tensor) => [tensor.name, tensor]));
  const readRows: WeightStore["readRows"] = async (name, start, count) => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new LfmcError("weights/missing", "is not a tensor of this model", {
        subject: name,
        hint: "read tensors by the model's own names",
      });
    checkRange(tensor, start, count);
    return await Promise.resolve(randomRows(tensor, seed, start, count));
  };
  return { tensors, readRows, readGroups: roundedGroups(readRows), close: () => Promise.resolve() };
}

/** [count, rowLength]; each weight takes one hash of its column under its row's key, and is triangular around the mean. */
function randomRows(tensor: TensorInfo, seed: number, start: number, count: number): Float32Array {
  const { rowLength } = rowShape(tensor.shape);
  const { mean, deviation } = distributionOf(tensor);
  const scale = deviation / halvesDeviation;
  const key = tensorKey(seed, tensor.name);
  const result = new Float32Array(count * rowLength);
  for (let row = 0; row < count; row++) {
    const rowKey = mix(key ^ mix(start + row));
    fillRow(result.subarray(row * rowLength, (row + 1) * rowLength), rowKey, mean, scale);
  }
  return result;
}

/** The hot loop: 354M weights of a small model pass here, one multiplicative hash each (the mixing of `mix`, inlined). */
function fillRow(target: Float32Array, rowKey: number, mean: number, scale: number): void {
  for (let column = 0; column < target.length; column++) {
    let x = Math.imul(column, 0x9e3779b1) ^ rowKey;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
    target[column] = mean + ((x & 0xffff) + (x >>> 16) - 65535) * scale;
  }
}

function distributionOf({ name, shape }: TensorInfo): Distribution {
  if (shape.length > 1) return { mean: 0, deviation: 1 / Math.sqrt(rowShape(shape).rowLength) };
  if (name.endsWith("norm.weight")) return { mean: 1, deviation: 0.1 };
  return { mean: 0, deviation: 0.02 };
}

function tensorKey(seed: number, name: string): number {
  let key = mix(seed);
  for (const byte of new TextEncoder().encode(name)) key = mix(key ^ byte);
  return key;
}
