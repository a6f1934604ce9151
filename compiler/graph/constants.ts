/** A constant's checkpoint values, gathered from its sources. */
import { elementCount } from "./tensor.ts";
import type { Constant } from "./types.ts";

/** Where tensors are read from, by rows of the last axis, in binary32. */
export interface RowSource {
  readRows(tensor: string, start: number, count: number): Promise<Float32Array>;
}

/** The values of a verified graph's constant in binary32, its sources one after the other, before any encoding. */
export async function readConstant({ type, sources }: Constant, store: RowSource): Promise<Float32Array> {
  const values = new Float32Array(elementCount(type.shape.filter((size) => typeof size === "number")));
  let at = 0;
  for (const { tensor, start, count } of sources) {
    const rows = await store.readRows(tensor, start, count);
    values.set(rows, at);
    at += rows.length;
  }
  return values;
}
