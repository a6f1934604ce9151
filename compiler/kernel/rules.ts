/**
 * How many operands each operation takes, and which constants: the part of an operation that its type rule does not see. One row an
 * operation, used by the verifier.
 */
import { bytesOfElement, type Element, type Type } from "./ir.ts";
import type { OperationName } from "./ops.ts";

/** What is wrong with an operation's constants, or undefined. */
type Fault = (immediates: readonly number[], result: Type) => string | undefined;

export interface OperandRule {
  /** Fewest and most operands. */
  readonly args: readonly [number, number];
  readonly immediates: Fault;
}

const rule = (least: number, most: number, immediates: Fault): OperandRule => ({ args: [least, most], immediates });

const within = (x: number | undefined, low: number, high: number): boolean =>
  Number.isInteger(x) && x !== undefined && x >= low && x <= high;

const none: Fault = (immediates) => (immediates.length === 0 ? undefined : "takes no constants");

/** One integer between two numbers. */
function one(what: string, low: number, high: (result: Type) => number): Fault {
  return (immediates, result) => {
    const right = immediates.length === 1 && within(immediates[0], low, high(result));
    return right ? undefined : `${what} is not one integer from ${low} to ${high(result)}`;
  };
}

const bits = one("shift", 0, ({ element }) => 8 * bytesOfElement(element) - 1);
const divisor = one("divisor", 1, () => 2 ** 31 - 1);
const lanes = one("lanes", 2, ({ lanes: count }) => count);
/** That of session slots may be more than an i32 holds. */
const stride = one("stride", 0, () => Number.MAX_SAFE_INTEGER);
const lane = one("lane", 0, () => 2 ** 31 - 1);

/** The type rule checks the range of lane indices. */
const laneIndices: Fault = (immediates) => {
  return immediates.length > 0 && immediates.every((index) => Number.isInteger(index)) ? undefined : "lane indices are no integers";
};

/** Offset and count; `most` lanes of the result are read. */
function place(most: (result: Type) => number): Fault {
  return (immediates, result) => {
    const right = immediates.length === 2 && within(immediates[0], 0, 2 ** 31 - 1) && within(immediates[1], 1, most(result));
    return right ? undefined : `offset and count are not integers from 0, and from 1 to ${most(result)}`;
  };
}

const literals: Fault = (immediates, { element }) => {
  return immediates.every((literal) => isLiteral(element, literal)) ? undefined : `literal is no ${element}`;
};

/** Integers may be written signed or unsigned. */
function isLiteral(element: Element, literal: number): boolean {
  if (element === "f32") return Object.is(Math.fround(literal), literal);
  const range = 2 ** (8 * bytesOfElement(element));
  return element !== "ptr" && within(literal, -range / 2, range - 1);
}

const pair = rule(2, 2, none);
const single = rule(1, 1, none);
const triple = rule(3, 3, none);
const allLanes = place(({ lanes: count }) => count);
const oneElement = rule(
  2,
  2,
  place(() => 1),
);

export const operandRules: Readonly<Record<OperationName, OperandRule>> = {
  const: rule(0, 0, literals),
  splat: rule(1, 1, lanes),
  add: pair,
  sub: pair,
  mul: pair,
  div: pair,
  min: pair,
  max: pair,
  abs: single,
  sqrt: single,
  and: pair,
  or: pair,
  xor: pair,
  shl: rule(1, 1, bits),
  shrS: rule(1, 1, bits),
  shrU: rule(1, 1, bits),
  divU: rule(1, 1, divisor),
  remU: rule(1, 1, divisor),
  lt: pair,
  eq: pair,
  select: triple,
  toFloat: single,
  bitcast: single,
  widenS: single,
  widenU: single,
  narrowS: single,
  concat: rule(1, Infinity, none),
  shuffle: rule(1, 2, laneIndices),
  lane: rule(1, 1, lane),
  dotPairs: pair,
  dotQuadsUS: triple,
  dotQuadsSS: triple,
  dotPairsUS: pair,
  mulWiden: pair,
  addPairs: pair,
  dotMatrix: triple,
  dotTile: pair,
  load: rule(2, 2, allLanes),
  loadSplat: oneElement,
  load8: oneElement,
  load16: oneElement,
  advance: rule(2, 2, stride),
};
