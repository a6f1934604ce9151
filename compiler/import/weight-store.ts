/**
 * Where weights come from, as the rest of the compiler sees it: named tensors read by ranges of rows, always as f32. A checkpoint and
 * the random generator both are one; nobody downstream can tell which.
 */
import { internal } from "../errors.ts";

/** Storage types that a needed tensor may have. */
export type Dtype = "F32" | "F16" | "BF16";

export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** Where weights come from. Rows are those of the tensor seen as [product of all axes but the last, last axis]. */
export interface WeightStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Reads rows start…start+count-1 as f32, [count, rowLength]. Non-finite values throw LfmcError("weights/value"). */
  readRows(tensor: string, start: number, count: number): Promise<Float32Array>;
  close(): Promise<void>;
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
