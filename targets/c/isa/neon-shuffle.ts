/**
 * Orders of lanes as NEON instructions: a register of the result that takes its lanes from one or two registers is one instruction where the
 * order is one of those below. Lanes of a result that is shorter than its register may be anything, so only the wanted ones must agree.
 */
import { bytesOfElement, type Element } from "../../../compiler/kernel/ir.ts";
import type { HeldOperand, ValueRow } from "./isa.ts";
import { cast, registerBytes, registerOf, suffix } from "./neon-registers.ts";

/** Where result lane `i` of a two-register instruction comes from, in registers of `lanes` lanes laid end to end. */
const orders: Readonly<Record<string, (i: number, lanes: number) => number>> = {
  zip1: (i, lanes) => (i >> 1) + (i & 1) * lanes,
  zip2: (i, lanes) => (i >> 1) + (i & 1) * lanes + lanes / 2,
  uzp1: (i) => 2 * i,
  uzp2: (i) => 2 * i + 1,
  trn1: (i, lanes) => (i & ~1) + (i & 1) * lanes,
  trn2: (i, lanes) => (i | 1) + (i & 1) * lanes,
};

interface Source {
  readonly register: string;
  readonly lane: number;
}

/** The register and its lane behind each of `lanes`, counted over the operands end to end. */
function sourcesOf(operands: readonly HeldOperand[], lanes: readonly number[]): readonly Source[] | undefined {
  const sources = lanes.map((lane) => {
    let rest = lane;
    for (const operand of operands) {
      if (rest < operand.type.lanes) return registerOf(operand, rest);
      rest -= operand.type.lanes;
    }
    return undefined;
  });
  return sources.every((source) => source !== undefined) ? sources : undefined;
}

/** One instruction that gives the lanes of `a` and `b` in the order wanted. */
function ordered(element: Element, a: string, b: string, wanted: readonly number[]): string | undefined {
  const lanes = registerBytes / bytesOfElement(element);
  const form = suffix(element);
  const agrees = (order: (i: number) => number): boolean =>
    wanted.every((lane, i) => (a === b ? order(i) % lanes === lane % lanes : order(i) === lane));
  const [first = 0] = wanted;
  if (agrees((i) => i)) return a;
  if (agrees((i) => first + i)) return `vextq_${form}(${a}, ${b}, ${first})`;
  if (agrees(() => first)) return `vdupq_laneq_${form}(${a}, ${first})`;
  for (const [name, order] of Object.entries(orders)) {
    if (agrees((i) => order(i, lanes))) return `v${name}q_${form}(${a}, ${b})`;
    // The same of lanes of 8 bytes.
    const inLong = lanes / 2;
    if (agrees((i) => order(Math.floor(i / inLong), 2) * inLong + (i % inLong))) {
      return cast(`v${name}q_s64(${cast(a, form, "s64")}, ${cast(b, form, "s64")})`, "s64", form);
    }
  }
  return undefined;
}

/** The result's lanes in the order of `lanes`; undefined where it takes more than two registers or more than one instruction. */
export function gathered(operands: readonly HeldOperand[], element: Element, lanes: readonly number[]): string | undefined {
  const sources = sourcesOf(operands, lanes);
  const registers = [...new Set(sources?.map(({ register }) => register))];
  const [a, b = a] = registers;
  if (!sources || a === undefined || b === undefined || registers.length > 2) return undefined;
  const perRegister = registerBytes / bytesOfElement(element);
  return ordered(
    element,
    a,
    b,
    sources.map(({ register, lane }) => (register === a ? lane : perRegister + lane)),
  );
}

/** Whether every operand gives a lane: a C function has no parameters without use. */
function usesAll(operands: readonly HeldOperand[], lanes: readonly number[]): boolean {
  let end = 0;
  return operands.every(({ type }) => {
    const start = end;
    end += type.lanes;
    return lanes.some((lane) => lane >= start && lane < end);
  });
}

export const shuffle: ValueRow = ({ operands, immediates, type }, lane, count) =>
  usesAll(operands, immediates) ? gathered(operands, type.element, immediates.slice(lane, lane + count)) : undefined;

export const concat: ValueRow = ({ operands, type }, lane, count) =>
  gathered(
    operands,
    type.element,
    Array.from({ length: count }, (_, i) => lane + i),
  );
