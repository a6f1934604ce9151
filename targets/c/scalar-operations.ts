/**
 * Operations on scalars as C expressions. Index arithmetic, on numbers that are known to be natural, is written with C's own operators; other
 * 32-bit integers wrap, which C's signed ones may not, so they go through functions.
 */
import { internal, required } from "../../compiler/errors.ts";
import type { Type } from "../../compiler/kernel/ir.ts";
import type { Expression } from "./expressions.ts";
import { floatLiteral, intLiteral } from "./literals.ts";

interface Form {
  readonly text: string;
  readonly isSimple?: boolean;
  readonly isNatural?: boolean;
}

type ScalarRow = (args: readonly Expression[], immediates: readonly number[], type: Type) => Form;

/** The expression of a scalar operation on scalars. */
export function scalarExpression(op: string, args: readonly Expression[], immediates: readonly number[], type: Type): Expression {
  const row = scalarRows[op] ?? internal(`no C for ${op} of scalars`);
  const { text, isSimple = true, isNatural = false } = row(args, immediates, type);
  return { text, isSimple, isNatural, reads: new Set(args.flatMap(({ reads }) => [...reads])) };
}

/** An operand beside an operator. */
export function bracketed({ text, isSimple }: Expression): string {
  return isSimple ? text : `(${text})`;
}

function operands(args: readonly Expression[]): readonly [Expression, Expression] {
  return [required(args[0], "operand"), required(args[1], "operand")];
}

function infix(operator: string, args: readonly Expression[]): string {
  const [a, b] = operands(args);
  return `${bracketed(a)} ${operator} ${bracketed(b)}`;
}

function callOf(name: string, args: readonly Expression[], immediates: readonly number[] = []): Form {
  return { text: `${name}(${[...args.map(({ text }) => text), ...immediates].join(", ")})` };
}

/** Float: an operator. Integer: an operator on naturals, a function that wraps on others. */
function arithmetic(operator: string, name: string): ScalarRow {
  return (args, _, { element }) => {
    const isNatural = args.every((arg) => arg.isNatural);
    if (element === "f32" || isNatural) {
      return { text: infix(operator, args), isSimple: false, isNatural: isNatural && operator !== "-" };
    }
    return callOf(name, args);
  };
}

/** An integer and a constant: an operator on a natural, a function on others. */
function withConstant(operator: string, constant: (immediate: number) => number, name: string): ScalarRow {
  return (args, immediates) => {
    const [a] = args;
    const [immediate = 0] = immediates;
    if (!a?.isNatural) return callOf(name, args, immediates);
    return { text: `${bracketed(a)} ${operator} ${constant(immediate)}`, isSimple: false, isNatural: true };
  };
}

const operator = (text: string): ScalarRow => {
  return (args) => ({ text: infix(text, args), isSimple: false, isNatural: args.every((arg) => arg.isNatural) });
};

const scalarRows: Readonly<Record<string, ScalarRow>> = {
  const: (_, [value = 0], { element }) => ({
    text: element === "f32" ? floatLiteral(value) : intLiteral(value | 0),
    isSimple: value >= 0 && !Object.is(value, -0),
    isNatural: element === "i32" && value >= 0,
  }),
  add: arithmetic("+", "i32_add"),
  sub: arithmetic("-", "i32_sub"),
  mul: arithmetic("*", "i32_mul"),
  div: (args) => ({ text: infix("/", args), isSimple: false }),
  min: (args) => callOf("f32_min", args),
  max: (args) => callOf("f32_max", args),
  abs: (args) => callOf("fabsf", args),
  sqrt: (args) => callOf("sqrtf", args),
  and: operator("&"),
  or: operator("|"),
  xor: operator("^"),
  shl: withConstant("*", (bits) => 2 ** bits, "i32_shl"),
  shrS: withConstant("/", (bits) => 2 ** bits, "i32_shr_s"),
  shrU: withConstant("/", (bits) => 2 ** bits, "i32_shr_u"),
  divU: withConstant("/", (divisor) => divisor, "i32_div_u"),
  remU: withConstant("%", (divisor) => divisor, "i32_rem_u"),
  lt: (args) => ({ text: infix("<", args), isSimple: false, isNatural: true }),
  eq: (args) => ({ text: infix("==", args), isSimple: false, isNatural: true }),
  select: (args) => {
    const [condition, yes, no] = [args[0], args[1], args[2]].map((arg) => bracketed(required(arg, "operand")));
    return { text: `${condition} ? ${yes} : ${no}`, isSimple: false };
  },
  toFloat: (args) => ({ text: `(float)${bracketed(required(args[0], "operand"))}`, isSimple: false }),
  bitcast: (args, _, { element }) => callOf(element === "f32" ? "f32_of_bits" : "i32_of_bits", args),
};
