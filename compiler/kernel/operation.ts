/** What an operation of the kernel IR is, and what the rows of the tables share. */
import { internal, required } from "../errors.ts";
import { printType, type Type } from "./ir.ts";

/** Lanes of a value; scalars have one. Integers are held as signed numbers of their width. */
export type Lanes = readonly number[];

export interface Operation {
  /** Result type, or an internal error where the operands don't fit. `type` is the one asked for, where operands don't decide. */
  readonly result: (args: readonly Type[], immediates: readonly number[], asked: Type) => Type;
  /** Absent for loads and pointers. */
  readonly meaning?: (args: readonly Lanes[], immediates: readonly number[], result: Type, operands: readonly Type[]) => Lanes;
}

/** Operands that an operation does not take: an internal error. */
export function mismatch(what: string, args: readonly Type[]): never {
  return internal(`${what} does not take (${args.map(printType).join(", ")})`);
}

export function operand<T>(args: readonly T[], index: number): T {
  return required(args[index], `operand ${index}`);
}

/** The nearest signed integer of so many bits. */
export function saturated(value: number, bits: number): number {
  return Math.max(-(2 ** (bits - 1)), Math.min(2 ** (bits - 1) - 1, value));
}
