/** Graph constants as rows: whole for the interpreter, by ranges for packers. Several sources lie one below the other. */
import type { Constant, TensorSlice } from "../graph/types.ts";
import { groupFormatNamed, stackGroups, type GroupFormat, type Groups } from "../numeric/weight-groups.ts";
import type { WeightStore } from "./weight-store.ts";

/** What is read of a store. */
export type RowSource = Pick<WeightStore, "readRows" | "readGroups">;

/** The whole constant: in groups where its encoding has them, else as f32. Throws what the store does. */
export function readConstant(store: RowSource, { sources, type }: Constant): Promise<Float32Array | Groups> {
  const rows = sources.reduce((sum, { count }) => sum + count, 0);
  const format = groupFormatNamed(type.encoding);
  return format ? readStackedGroups(store, sources, format, 0, rows) : readStackedRows(store, sources, 0, rows);
}

/** Rows start…start+count-1 of the stacked sources, [count, last axis]. */
export async function readStackedRows(
  store: RowSource,
  sources: readonly TensorSlice[],
  start: number,
  count: number,
): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (const { tensor, from, rows } of rangesOf(sources, start, count)) parts.push(await store.readRows(tensor, from, rows));
  return joinRows(parts);
}

/** Runs of rows as one, without a copy where there is but one run. */
export function joinRows(parts: readonly Float32Array[]): Float32Array {
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

/** The same rows in groups. */
export async function readStackedGroups(
  store: RowSource,
  sources: readonly TensorSlice[],
  format: GroupFormat,
  start: number,
  count: number,
): Promise<Groups> {
  const parts: Groups[] = [];
  for (const { tensor, from, rows } of rangesOf(sources, start, count)) parts.push(await store.readGroups(tensor, format, from, rows));
  return stackGroups(parts);
}

/** The rows of each source among rows start…start+count-1 of all. */
function rangesOf(sources: readonly TensorSlice[], start: number, count: number) {
  let first = 0;
  return sources.flatMap((source) => {
    const [from, to] = [Math.max(start, first), Math.min(start + count, first + source.count)];
    const range = { tensor: source.tensor, from: source.start + from - first, rows: to - from };
    first += source.count;
    return from < to ? [range] : [];
  });
}
