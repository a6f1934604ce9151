/** Lanes of an operand that lies in registers: a register, a part of one, or several put together. */
import { bytesOfElement, type Type } from "../../compiler/kernel/ir.ts";
import type { HeldOperand, Isa } from "./isa/isa.ts";
import { holdingOf } from "./types.ts";

export function heldOperand(isa: Isa, type: Type, name: string): HeldOperand {
  const holding = holdingOf(isa, type);
  if (type.lanes === 1 || holding.kind === "array") return { type, lanes: () => undefined };
  const size = bytesOfElement(type.element);
  const register = (index: number): string => (holding.count === 1 ? name : `${name}.part[${index}]`);
  const lanes = (lane: number, count: number): string | undefined => {
    const [offset, bytes] = [lane * size, count * size];
    const first = Math.floor(offset / holding.bytes);
    const within = offset - first * holding.bytes;
    if (within + bytes <= holding.bytes) {
      return within === 0 && bytes === holding.bytes
        ? register(first)
        : isa.part(register(first), type.element, holding.bytes, within, bytes);
    }
    // Whole registers end to end have no wider register to go into.
    return undefined;
  };
  return { type, lanes };
}
