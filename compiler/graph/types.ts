/**
 * The graph IR's vocabulary: what is computed, for one forward call over a list of rows. Everything is immutable and plain data;
 * a pass returns a new graph. Shapes are known but for two counts that each call brings: its rows, and those that want logits.
 */

import type { GroupFormatName } from "../numeric/weight-groups.ts";

/** How a value's elements are stored. "q8" is activations in signed 8-bit groups of 32 (numeric/quantize). */
export type Encoding = "f32" | "f16" | "bf16" | GroupFormatName | "q8" | "i32";

/** Encodings that weights are stored in. */
export type WeightEncoding = Exclude<Encoding, "q8" | "i32">;

/** "rows": the rows of the call; "logits": those of them that want logits. */
export type Dimension = number | "rows" | "logits";
export type Shape = readonly Dimension[];

export interface ValueType {
  readonly shape: Shape;
  readonly encoding: Encoding;
}

/** Values are named; a name is defined once and before it is used. Names match [A-Za-z0-9_.-]+. */
export type ValueName = string;

/** Attributes are flat and printable. */
export type Attribute = number | boolean | string | null;
export type Attributes = Readonly<Record<string, Attribute>>;

export interface Node {
  readonly op: string;
  readonly inputs: readonly ValueName[];
  readonly outputs: readonly ValueName[];
  readonly attributes: Attributes;
}

/**
 * Weights. Where `sources` has several names, the constant is those checkpoint tensors stacked along their first axis, in order;
 * the trailing axes agree after `shape` regroups them (the convolution's [H,1,L] is [H,L] here, experts are [E,I,H]).
 */
export interface Constant {
  readonly name: ValueName;
  readonly type: ValueType;
  readonly sources: readonly TensorSlice[];
}

/** Rows `start … start + count - 1` of a checkpoint tensor's first axis, or of its first two axes flattened for stacked experts. */
export interface TensorSlice {
  readonly tensor: string;
  /** The tensor's whole shape in the checkpoint. */
  readonly shape: readonly number[];
  /** First row and number of rows, in rows of `rowLength` elements. */
  readonly start: number;
  readonly count: number;
}

export interface Graph {
  readonly name: string;
  readonly constants: readonly Constant[];
  /** In an order in which every value is defined before it is used. */
  readonly nodes: readonly Node[];
  /** The value that holds the logits, [logits, vocabulary]. */
  readonly output: ValueName;
}

/** One row of a forward call: a token of a session at a position. */
export interface Row {
  readonly token: number;
  readonly slot: number;
  readonly position: number;
  readonly wantsLogits: boolean;
}
