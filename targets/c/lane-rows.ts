/**
 * What each operation does to one lane, in C: one row an operation. It is the whole of the scalar instruction set, and what every other one
 * falls back on where it has no instruction.
 */
import { internal, required } from "../../compiler/errors.ts";
import type { Element, Type } from "../../compiler/kernel/ir.ts";
import type { OperationName } from "../../compiler/kernel/ops.ts";
import { isPrimary } from "./expressions.ts";

export interface LaneCall {
  readonly type: Type;
  readonly operands: readonly Type[];
  readonly immediates: readonly number[];
  /** Lane `index` of an operand, or the operand where it is a scalar. */
  readonly x: (operand: number, index: string) => string;
  /** A lane as a condition, where it was made by a comparison. */
  readonly test?: (operand: number, index: string) => string | undefined;
}

/** The expression of lane `i`. */
export type LaneRow = (call: LaneCall, i: string) => string;

/** Lane factor * i + offset, where `i` may be such an expression itself. */
export function laneIndex(i: string, factor: number, offset: number): string {
  const [, inner = "1", name, constant = "0"] = /^(?:(\d+) \* )?([a-z]\w*)(?: \+ (\d+))?$/.exec(i) ?? [];
  if (/^\d+$/.test(i)) return String(factor * Number(i) + offset);
  const [scale, rest] = name === undefined ? [factor, offset] : [factor * Number(inner), factor * Number(constant) + offset];
  const base = name ?? operand(i);
  return `${scale === 1 ? base : `${scale} * ${base}`}${rest === 0 ? "" : ` + ${rest}`}`;
}

/** A text beside an operator. */
function operand(text: string): string {
  return isPrimary(text) ? text : `(${text})`;
}

function elementOf({ operands }: LaneCall): Element {
  return required(operands[0], "operand").element;
}

/** The same expression of the operands' own lanes; one for each element that the operation takes. */
function elementwise(forms: Partial<Record<Element, (...args: readonly string[]) => string>>): LaneRow {
  return (call, i) => {
    const form = required(forms[elementOf(call)], `form for ${elementOf(call)}`);
    return form(...call.operands.map((_, k) => call.x(k, i)));
  };
}

const infix = (operator: string) => (a: string, b: string) => `${operand(a)} ${operator} ${operand(b)}`;
const call =
  (name: string) =>
  (...args: readonly string[]) =>
    `${name}(${args.join(", ")})`;

/** An operator whose result C makes an int of. */
function narrowed(type: string, operator: string) {
  return (a = "", b = ""): string => `(${type})(${infix(operator)(a, b)})`;
}

function bitwise(operator: string): LaneRow {
  return elementwise({ i32: infix(operator), i16: narrowed("int16_t", operator), i8: narrowed("int8_t", operator) });
}

/** i32 lanes by a function that wraps; shorter ones, of the type that `sign` makes of them, fit C's int. */
function shift(scalar: string, operator: string, sign: "" | "u"): LaneRow {
  return (shifted, i) => {
    const [x, [bitCount], element] = [shifted.x(0, i), shifted.immediates, elementOf(shifted)];
    if (element === "i32") return `${scalar}(${x}, ${bitCount})`;
    const bits = element.slice(1);
    return `(int${bits}_t)(${sign === "" ? "" : `(uint${bits}_t)`}${operand(x)} ${operator} ${bitCount})`;
  };
}

/** Of a comparison: the condition itself. */
export const comparisons: Readonly<Partial<Record<OperationName, LaneRow>>> = {
  lt: elementwise({ f32: infix("<"), i32: infix("<") }),
  eq: elementwise({ f32: infix("=="), i32: infix("==") }),
};

const mask =
  (comparison: LaneRow | undefined): LaneRow =>
  (compared, i) =>
    `${required(comparison, "comparison")(compared, i)} ? -1 : 0`;

/** a[m] * b[n], `unsigned` before a lane of a. */
function product({ x }: LaneCall, [a, m]: readonly [number, string], [b, n]: readonly [number, string], unsigned = ""): string {
  return `${unsigned}${operand(x(a, m))} * ${operand(x(b, n))}`;
}

/** A sum of products of the bytes 4i … 4i + 3 onto lane i of the first operand. */
function quads(unsigned: string): LaneRow {
  return (dot, i) => {
    const products = [0, 1, 2, 3].map((c) => product(dot, [1, laneIndex(i, 4, c)], [2, laneIndex(i, 4, c)], unsigned));
    return `i32_add(${dot.x(0, i)}, ${products.join(" + ")})`;
  };
}

export const laneRows: Readonly<Partial<Record<OperationName, LaneRow>>> = {
  splat: ({ x }) => x(0, "0"),
  add: elementwise({ f32: infix("+"), i32: call("i32_add"), i16: narrowed("int16_t", "+") }),
  sub: elementwise({ f32: infix("-"), i32: call("i32_sub") }),
  mul: elementwise({ f32: infix("*"), i32: call("i32_mul"), i16: narrowed("int16_t", "*") }),
  div: elementwise({ f32: infix("/") }),
  min: elementwise({ f32: call("f32_min") }),
  max: elementwise({ f32: call("f32_max") }),
  abs: elementwise({ f32: call("fabsf") }),
  sqrt: elementwise({ f32: call("sqrtf") }),
  and: bitwise("&"),
  or: bitwise("|"),
  xor: bitwise("^"),
  shl: shift("i32_shl", "<<", "u"),
  shrS: shift("i32_shr_s", ">>", ""),
  shrU: shift("i32_shr_u", ">>", "u"),
  lt: mask(comparisons.lt),
  eq: mask(comparisons.eq),
  select: (choice, i) => `${choice.test?.(0, i) ?? operand(choice.x(0, i))} ? ${operand(choice.x(1, i))} : ${operand(choice.x(2, i))}`,
  toFloat: ({ x }, i) => `(float)${operand(x(0, i))}`,
  bitcast: ({ type, operands, x }, i) => (operands[0]?.element === type.element ? x(0, i) : `${type.element}_of_bits(${x(0, i)})`),
  widenS: ({ x }, i) => x(0, i),
  widenU: (widened, i) => `${elementOf(widened) === "i8" ? "(uint8_t)" : "(uint16_t)"}${operand(widened.x(0, i))}`,
  narrowS: ({ type, x }, i) => `${type.element}_saturate(${x(0, i)})`,
  // `order` is the constants' table.
  shuffle: ({ x, operands }, i) => {
    const [first, second] = operands;
    if (!second) return x(0, `order[${i}]`);
    const count = required(first, "operand").lanes;
    return `order[${i}] < ${count} ? ${x(0, `order[${i}]`)} : ${x(1, `order[${i}] - ${count}`)}`;
  },
  lane: ({ x, immediates }) => x(0, String(immediates[0])),
  dotPairs: (dot, i) => {
    const products = [0, 1].map((c) => product(dot, [0, laneIndex(i, 2, c)], [1, laneIndex(i, 2, c)]));
    return `i32_add(${products.join(", ")})`;
  },
  dotQuadsUS: quads("(uint8_t)"),
  dotQuadsSS: quads(""),
  dotPairsUS: (dot, i) => {
    const products = [0, 1].map((c) => product(dot, [0, laneIndex(i, 2, c)], [1, laneIndex(i, 2, c)], "(uint8_t)"));
    return `i16_saturate(${products.join(" + ")})`;
  },
  mulWiden: (multiplied, i) => `(int16_t)(${product(multiplied, [0, i], [1, i])})`,
  addPairs: ({ x }, i) => `i32_add(${x(0, i)}, ${operand(x(1, laneIndex(i, 2, 0)))} + ${operand(x(1, laneIndex(i, 2, 1)))})`,
  dotMatrix: (dot, i) => {
    const products = Array.from({ length: 8 }, (_, k) =>
      product(dot, [1, `16 * (${i} / 4) + 8 * (${i} / 2 % 2) + ${k}`], [2, `16 * (${i} / 4) + 8 * (${i} % 2) + ${k}`]),
    );
    return `i32_add(${dot.x(0, i)}, ${products.join(" + ")})`;
  },
  dotTile: (dot, i) => {
    const products = Array.from({ length: 32 }, (_, k) =>
      product(dot, [1, `${64 * (k >> 2) + (k & 3)} + 4 * (${i} % 16)`], [0, `32 * (${i} / 16) + ${k}`], "(uint8_t)"),
    );
    return products.join(" + ");
  },
};

/** The row of an operation; loads, constants and regroupings have none: they are copies of bytes. */
export function laneRowOf(op: OperationName): LaneRow {
  return laneRows[op] ?? internal(`no lanes for ${op}`);
}

/** How an operation reads an operand for lane i of its result: lane i alone, a few others once each, or lanes that others read too. */
export type LaneUse = "own" | "others" | "shared";

const uses: Readonly<Partial<Record<OperationName, readonly LaneUse[]>>> = {
  shuffle: ["others", "others"],
  dotPairs: ["others", "others"],
  dotQuadsUS: ["own", "others", "others"],
  dotQuadsSS: ["own", "others", "others"],
  dotPairsUS: ["others", "others"],
  addPairs: ["own", "others"],
  dotMatrix: ["own", "shared", "shared"],
  dotTile: ["shared", "shared"],
};

export function laneUse(op: OperationName, operandIndex: number): LaneUse {
  return uses[op]?.[operandIndex] ?? "own";
}
