/**
 * Where weights come from, as the rest of the compiler sees it: named tensors read by ranges of rows, as f32 or in groups. Checkpoints of
 * all kinds and the random generator are such; nobody downstream can tell which.
 */
import { internal } from "../errors.ts";
import type { WeightEncoding } from "../graph/types.ts";
import { quantizeRows, type GroupFormat, type Groups } from "../numeric/weight-groups.ts";

/** Types in which safetensors files may hold a needed tensor. */
export type FloatType = "F32" | "F16" | "BF16";

/** The encoding that holds the numbers of each as they are. */
export const keptFloats: Readonly<Record<FloatType, WeightEncoding>> = { F32: "f32", F16: "f16", BF16: "bf16" };

export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  /** The file's own name of the type in which it holds the tensor: F32, BF16, Q4_0, … */
  readonly dtype: string;
  /** The encoding that holds the tensor's numbers as the file has them, or, where there is none, a finer one. */
  readonly keep: WeightEncoding;
}

/** Where weights come from. Rows are those of the tensor seen as [product of all axes but the last, last axis]. */
export interface WeightStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Reads rows start…start+count-1 as f32, [count, rowLength]. Non-finite values throw LfmcError("weights/value"). */
  readRows(tensor: string, start: number, count: number): Promise<Float32Array>;
  /** The same rows in groups: the file's own where it has the tensor in that format, else the rows rounded. */
  readGroups(tensor: string, format: GroupFormat, start: number, count: number): Promise<Groups>;
  close(): Promise<void>;
}

/** What a store without groups of its own has for `readGroups`: its rows, rounded. */
export function roundedGroups(readRows: WeightStore["readRows"]): WeightStore["readGroups"] {
  return async (tensor, format, start, count) => {
    const values = await readRows(tensor, start, count);
    return quantizeRows(format, values, count, values.length / count);
  };
}

/** A tensor's shape as a matrix; a vector is one row. */
export interface RowShape {
  readonly rows: number;
  readonly rowLength: number;
}

/** [product of all axes but the last, last axis]; a scalar is [1, 1]. */
export function rowShape(shape: readonly number[]): RowShape {
  return { rows: elementCount(shape.slice(0, -1)), rowLength: shape.at(-1) ?? 1 };
}

/** Elements of a tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Throws an `InternalError` unless rows start…start+count-1 exist: ranges come from lfmc, not from a file. */
export function checkRange(info: TensorInfo, start: number, count: number): void {
  const { rows } = rowShape(info.shape);
  const whole = Number.isSafeInteger(start) && Number.isSafeInteger(count);
  if (!whole || start < 0 || count < 0 || start + count > rows) internal(`rows ${start}+${count} of ${info.name}, which has ${rows}`);
}
