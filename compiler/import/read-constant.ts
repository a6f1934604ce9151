/** Graph constants as f32 rows: whole for the interpreter, by ranges for packers. Several sources lie one below the other. */
import type { Constant, TensorSlice } from "../graph/types.ts";
import type { WeightStore } from "./weight-store.ts";

/** What is read of a store. */
export type RowSource = Pick<WeightStore, "readRows">;

/** The whole constant. Throws what `readRows` throws. */
export function readConstant(store: RowSource, { sources }: Constant): Promise<Float32Array> {
  const rows = sources.reduce((sum, { count }) => sum + count, 0);
  return readStackedRows(store, sources, 0, rows);
}

/** Rows start…start+count-1 of the stacked sources, [count, last axis]. */
export async function readStackedRows(
  store: RowSource,
  sources: readonly TensorSlice[],
  start: number,
  count: number,
): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  let first = 0;
  for (const source of sources) {
    const [from, to] = [Math.max(start, first), Math.min(start + count, first + source.count)];
    if (from < to) parts.push(await store.readRows(source.tensor, source.start + from - first, to - from));
    first += source.count;
  }
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
