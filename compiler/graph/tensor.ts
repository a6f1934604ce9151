/**
 * Tensors as the interpreter holds them. 16-bit floats are held as the binary32 numbers they stand for, so four kinds remain:
 * binary32, indices, quantised activations and quantised weights. Row-major; the last axis is contiguous.
 */
import { internal } from "../errors.ts";
import { quantizeActivations, type QuantizedActivations } from "../numeric/quantize.ts";
import type { GroupedWeights } from "../numeric/weight-groups.ts";

export interface DenseTensor {
  readonly kind: "dense";
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface IndexTensor {
  readonly kind: "index";
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

/** Signed 8-bit groups of a [rows, width] activation. */
export interface ActivationTensor {
  readonly kind: "activations";
  readonly shape: readonly number[];
  readonly groups: QuantizedActivations;
}

/** Unsigned groups (numeric/weight-groups) of a weight seen as [product of all axes but the last, last axis]. */
export interface WeightTensor {
  readonly kind: "weights";
  readonly shape: readonly number[];
  readonly groups: GroupedWeights;
}

export type Tensor = DenseTensor | IndexTensor | ActivationTensor | WeightTensor;
export type Activation = DenseTensor | ActivationTensor;
export type Weight = DenseTensor | WeightTensor;

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Length of the last axis. */
export function lastAxis(shape: readonly number[]): number {
  return shape.at(-1) ?? internal("a shape without axes");
}

/** Number of runs of the last axis. */
export function rowCount(shape: readonly number[]): number {
  return elementCount(shape.slice(0, -1));
}

/** A binary32 tensor over `data`, whose length must be the shape's. */
export function dense(shape: readonly number[], data: Float32Array): DenseTensor {
  if (data.length !== elementCount(shape)) internal(`${data.length} elements for shape [${shape.join(", ")}]`);
  return { kind: "dense", shape, data };
}

/** Quantises a [rows, width] tensor to signed 8-bit groups. */
export function quantized({ shape, data }: DenseTensor): ActivationTensor {
  return { kind: "activations", shape, groups: quantizeActivations(data, rowCount(shape), lastAxis(shape)) };
}

/** Rows `first … first + count - 1` of a two-axis activation, without a copy. */
export function activationRows(x: Activation, first: number, count: number): Activation {
  const width = lastAxis(x.shape);
  const shape = [count, width];
  if (x.kind === "dense") return { ...x, shape, data: x.data.subarray(first * width, (first + count) * width) };
  const { columns, q, scales, sums } = x.groups;
  const groupsPerRow = scales.length / Math.max(1, x.groups.rows);
  const [start, end] = [first * groupsPerRow, (first + count) * groupsPerRow];
  const groups = {
    rows: count,
    columns,
    q: q.subarray(first * columns, (first + count) * columns),
    scales: scales.subarray(start, end),
    sums: sums.subarray(start, end),
  };
  return { ...x, shape, groups };
}
