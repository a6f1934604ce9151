/** The rows of a call in memory, and where a session's state lies. */
import type { KernelBuilder } from "../builder.ts";
import { i32, type Value } from "../ir.ts";

/** A row is four i32: token, slot, position, wantsLogits (0 or 1). */
export const rowBytes = 16;

export interface RowFields {
  readonly token: Value;
  readonly slot: Value;
  readonly position: Value;
  readonly wantsLogits: Value;
}

/** The pointer parameter to the rows of the call. */
export function rowList(b: KernelBuilder): Value {
  return b.pointer("row_list", "read", "rows of the call: token, slot, position, wantsLogits");
}

/** The parameter that counts the rows of the call. */
export function rowCount(b: KernelBuilder): Value {
  return b.scalar("rows", "rows of the call");
}

/** Reads one row. */
export function rowFields(b: KernelBuilder, rows: Value, row: Value): RowFields {
  const at = b.advance(rows, row, rowBytes);
  const field = (offset: number): Value => b.load(i32, at, 0, offset);
  return { token: field(0), slot: field(4), position: field(8), wantsLogits: field(12) };
}

/** A layer's state starts at its pointer parameter for slot 0, and `slotBytes` later for each further slot. */
export interface StateAddress {
  readonly slotBytes: number;
}
