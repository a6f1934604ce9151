/** The operations that AArch64's base instruction set has instructions for. */
import { required } from "../../../compiler/errors.ts";
import type { Element } from "../../../compiler/kernel/ir.ts";
import { elementType } from "../types.ts";
import type { HeldOperand, Isa, RegisterCall, RegisterRow, ValueRow } from "./isa.ts";
import { argument, cast, registerOf, suffix, unsigned } from "./neon-registers.ts";
import { concat, shuffle } from "./neon-shuffle.ts";

/** The intrinsic `name` of the operands in their order. */
export function intrinsic(name: string): RegisterRow {
  return ({ element, args }) => `${name}q_${suffix(element)}(${args.join(", ")})`;
}

/** Lanes of 0 and -1. */
function compared(name: string, element: Element, a: string, b: string): string {
  return cast(`${name}q_${suffix(element)}(${a}, ${b})`, "u32", "s32");
}

function comparison(name: string): RegisterRow {
  return ({ element, args }) => compared(name, element, argument(args, 0), argument(args, 1));
}

/** Lanes of `yes` where the mask is set, else of `no`. */
function chosen(mask: string, element: Element, yes: string, no: string): string {
  return `vbslq_${suffix(element)}(${mask}, ${yes}, ${no})`;
}

/** fmin and fmax order zeros and pass NaN on; the IR wants the plain comparison. */
function extreme(isBetter: (a: string, b: string) => string): RegisterRow {
  return ({ element, args }) => {
    const [a, b] = [argument(args, 0), argument(args, 1)];
    return chosen(isBetter(a, b), element, b, a);
  };
}

/** Shifts by 0, which shifts right cannot encode, leave the operand. */
function shifted(name: string, form: (element: Element) => string): RegisterRow {
  return ({ element, args, immediates }: RegisterCall) => {
    const [value, bits] = [argument(args, 0), required(immediates[0], "constant")];
    if (bits === 0) return value;
    return cast(`${name}q_n_${form(element)}(${cast(value, suffix(element), form(element))}, ${bits})`, form(element), suffix(element));
  };
}

export const byRegister: Isa["byRegister"] = {
  add: intrinsic("vadd"),
  sub: intrinsic("vsub"),
  mul: intrinsic("vmul"),
  div: intrinsic("vdiv"),
  min: extreme((a, b) => `vcltq_f32(${b}, ${a})`),
  max: extreme((a, b) => `vcltq_f32(${a}, ${b})`),
  abs: intrinsic("vabs"),
  sqrt: intrinsic("vsqrt"),
  and: intrinsic("vand"),
  or: intrinsic("vorr"),
  xor: intrinsic("veor"),
  shl: shifted("vshl", suffix),
  shrS: shifted("vshr", suffix),
  shrU: shifted("vshr", unsigned),
  lt: comparison("vclt"),
  eq: comparison("vceq"),
  select: ({ result, args }) => chosen(cast(argument(args, 0), "s32", "u32"), result, argument(args, 1), argument(args, 2)),
  toFloat: ({ args }) => `vcvtq_f32_s32(${argument(args, 0)})`,
  bitcast: ({ element, result, args }) => cast(argument(args, 0), suffix(element), suffix(result)),
  dotPairs: ({ args }) => {
    const [a, b] = [argument(args, 0), argument(args, 1)];
    return `vpaddq_s32(vmull_s16(vget_low_s16(${a}), vget_low_s16(${b})), vmull_high_s16(${a}, ${b}))`;
  },
  addPairs: ({ args }) => `vpadalq_s16(${args.join(", ")})`,
};

/** An instruction on the low or the high halves of its operands' registers; `form` is that of its operands. */
function onHalves(name: string, form: string, operands: readonly HeldOperand[], lane: number): string | undefined {
  const sources = operands.map((operand) => registerOf(operand, lane));
  const [first] = sources;
  if (!first || sources.some((source) => source === undefined)) return undefined;
  const registers = sources.map((source, i) =>
    cast(required(source, "register").register, suffix(required(operands[i], "operand").type.element), form),
  );
  if (first.lane > 0) return `${name}_high_${form}(${registers.join(", ")})`;
  return `${name}_${form}(${registers.map((register) => `vget_low_${form}(${register})`).join(", ")})`;
}

function widened(formOf: (element: Element) => string): ValueRow {
  return ({ operands, type }, lane) => {
    const form = formOf(required(operands[0], "operand").type.element);
    const wide = onHalves("vmovl", form, operands, lane);
    return wide && cast(wide, formOf(type.element), suffix(type.element));
  };
}

/** Saturates the one or two registers that become one of half the width. */
const narrowS: ValueRow = ({ operands }, lane, count) => {
  const source = required(operands[0], "operand");
  const form = suffix(source.type.element);
  const low = registerOf(source, lane)?.register;
  const last = registerOf(source, lane + count - 1)?.register;
  if (low === undefined || last === undefined) return undefined;
  return `vqmovn_high_${form}(vqmovn_${form}(${low}), ${last})`;
};

export const byValue: Isa["byValue"] = {
  splat: ({ type, args }) => `vdupq_n_${suffix(type.element)}(${argument(args, 0)})`,
  loadSplat: ({ type, args }) => `vdupq_n_${suffix(type.element)}(${argument(args, 0)})`,
  const: ({ type, immediates }) => {
    const [value = 0] = immediates;
    const isUniform = type.element !== "f32" && immediates.every((other) => other === value);
    return isUniform ? `vdupq_n_${suffix(type.element)}((${elementType(type.element)})${value})` : undefined;
  },
  widenS: widened(suffix),
  widenU: widened(unsigned),
  narrowS,
  mulWiden: ({ operands }, lane) => onHalves("vmull", "s8", operands, lane),
  concat,
  shuffle,
  lane: ({ operands, immediates, type }) => {
    const source = registerOf(required(operands[0], "operand"), required(immediates[0], "lane"));
    return source && `vgetq_lane_${suffix(type.element)}(${source.register}, ${source.lane})`;
  },
};
