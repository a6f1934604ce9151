/**
 * The one point where the interpreter's two readings of a graph differ. "reference": plain formulas in binary64, rounded to
 * binary32 where a value is stored. "contract": the numeric contract, which defines the bits every target must give. Each op is
 * written once, over this record.
 */
import type { Activation, Weight } from "../tensor.ts";

export type ArithmeticMode = "reference" | "contract";

export interface Arithmetic {
  readonly mode: ArithmeticMode;
  /** The rounding of an intermediate result inside an op: to binary32, or none. */
  readonly round: (x: number) => number;
  /** The sum of `length` terms, as norms take it. */
  readonly sum: (length: number, term: (index: number) => number) => number;
  readonly sigmoid: (x: number) => number;
  readonly silu: (x: number) => number;
  /** x [r, K] times rows `first … first + count - 1` of the weight, seen as [rows, K]: [r, count], row-major. */
  readonly product: (x: Activation, weight: Weight, first: number, count: number) => Float32Array;
  readonly ropeAngles: RopeAngles;
  readonly attend: Attend;
}

/** Cosine and sine of pair `m` of a head at a position. */
export type RopeAngles = (headSize: number, base: number, position: number, m: number) => { readonly cos: number; readonly sin: number };

/** One query head against the positions `first … last` of its session. */
export interface AttentionHead {
  /** [headSize] */
  readonly query: Float32Array;
  /** Rows by position; this head's part of a row starts at `offset`. */
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly width: number;
  readonly offset: number;
  readonly first: number;
  readonly last: number;
  readonly scale: number;
}

/** The values weighed by the softmax of the scores: [headSize], written to `out`. */
export type Attend = (head: AttentionHead, out: Float32Array) => void;
