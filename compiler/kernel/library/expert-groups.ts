/**
 * Rows sorted by the expert they go to, so that a product reads each expert's weights once, for all of its rows. A row goes to `topK` experts
 * and so has as many places; the places of one expert follow each other, in the order of the rows, and experts rise. (A counting sort.)
 *
 * The groups are a list of i32: how many experts have rows at all, three words that are not used, and for each of these experts its
 * index, its first place, the place after its last, and a word that is not used.
 */
import { recordKernel, type KernelBuilder } from "../builder.ts";
import { i32, type Kernel, type Value } from "../ir.ts";
import { f32Bytes } from "./lanes.ts";
import { rowCount } from "./rows.ts";

const entryBytes = 16;
/** From the list's start, of the first entry's fields. */
const expertOffset = entryBytes;
const firstOffset = entryBytes + 4;
const endOffset = entryBytes + 8;

/** Bytes of the groups of `expertCount` experts. */
export function groupListBytes(expertCount: number): number {
  return (1 + expertCount) * entryBytes;
}

/** Bytes of the scratch memory of `groupRows`. */
export function groupScratchBytes(expertCount: number): number {
  return expertCount * f32Bytes;
}

/** A pointer to the groups. */
function groupList(b: KernelBuilder, access: "read" | "write"): Value {
  return b.pointer("groups", access, "experts that have rows: how many, then index, first place, place after the last");
}

/** A pointer to the places [rows, topK] of a call's rows. */
export function placeList(b: KernelBuilder, topK: number, stride: number, access: "read" | "write" = "read"): Value {
  return b.pointer("places", access, `places [rows, ${topK}] i32, rows ${stride} apart: where a row's copies lie, sorted by expert`);
}

/** The place of a row's copy for the `slot`th of its experts. */
export function placeOf(b: KernelBuilder, places: Value, row: Value, slot: Value, stride: number): Value {
  return b.load(i32, b.advance(places, row, stride * f32Bytes), b.mul(slot, f32Bytes));
}

/** Declares the groups' pointer; emits `body` for each expert that has rows, with its index and the range of its places. */
export function forExperts(b: KernelBuilder, body: (expert: Value, first: Value, end: Value) => void): void {
  const groups = groupList(b, "read");
  b.for("expert", 0, b.load(i32, groups), 1, (group) => {
    const entry = b.advance(groups, group, entryBytes);
    const field = (offset: number): Value => b.load(i32, entry, 0, offset);
    body(field(expertOffset), field(firstOffset), field(endOffset));
  });
}

export interface GroupRowsSpec {
  readonly expertCount: number;
  readonly topK: number;
  /** Elements from row to row of the chosen experts and of the places. */
  readonly stride: number;
}

/** The groups and places of rows, from the experts that the router chose for them. */
export function groupRows({ expertCount, topK, stride }: GroupRowsSpec): Kernel {
  return recordKernel(`group_rows_${topK}of${expertCount}_s${stride}`, `rows sorted by expert, ${topK} of ${expertCount} each`, (b) => {
    const experts = b.pointer("experts", "read", `chosen experts [rows, ${topK}] i32, rows ${stride} apart`);
    const cursors = b.pointer("scratch", "read-write", `an i32 for each expert [${expertCount}]`);
    const places = placeList(b, topK, stride, "write");
    const groups = groupList(b, "write");
    const rows = rowCount(b);
    const zero = b.int(0);
    b.for("expert", 0, expertCount, 1, (expert) => {
      b.store(zero, cursors, b.mul(expert, f32Bytes));
    });
    forChoices(b, rows, topK, stride, (offset) => {
      const cursor = b.mul(b.load(i32, experts, offset), f32Bytes);
      b.store(b.add(b.load(i32, cursors, cursor), 1), cursors, cursor);
    });
    const [next, count] = [b.variable("next", zero), b.variable("count", zero)];
    b.for("expert", 0, expertCount, 1, (expert) => {
      const cursor = b.mul(expert, f32Bytes);
      const size = b.load(i32, cursors, cursor);
      b.if(size, () => {
        const first = b.read(next);
        const end = b.add(first, size);
        const entry = b.advance(groups, b.read(count), entryBytes);
        b.store(expert, entry, 0, expertOffset);
        b.store(first, entry, 0, firstOffset);
        b.store(end, entry, 0, endOffset);
        b.store(first, cursors, cursor);
        b.assign(next, end);
        b.assign(count, b.add(b.read(count), 1));
      });
    });
    b.store(b.read(count), groups);
    forChoices(b, rows, topK, stride, (offset) => {
      const cursor = b.mul(b.load(i32, experts, offset), f32Bytes);
      const place = b.load(i32, cursors, cursor);
      b.store(place, places, offset);
      b.store(b.add(place, 1), cursors, cursor);
    });
  });
}

/** Emits `body` for each choice of each row, with the byte offset of its element. */
function forChoices(b: KernelBuilder, rows: Value, topK: number, stride: number, body: (offset: Value) => void): void {
  b.for("row", 0, rows, 1, (row) => {
    b.for("slot", 0, topK, 1, (slot) => {
      body(b.mul(b.add(b.mul(row, stride), slot), f32Bytes));
    });
  });
}
