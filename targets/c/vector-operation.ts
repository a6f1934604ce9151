/** An operation as a C function: what it is called with, and what its parts are called. */
import { required } from "../../compiler/errors.ts";
import type { Type } from "../../compiler/kernel/ir.ts";
import type { OperationName } from "../../compiler/kernel/ops.ts";

/** Its operands' types are part of what it is; those of a load are none, and a store's value has the type of its result. */
export interface VectorOperation {
  readonly op: OperationName | "store";
  readonly operands: readonly Type[];
  readonly immediates: readonly number[];
  readonly result: Type;
}

const letters = "abcdefghijklmnop";

/** The parameter of an operand: `a`, `b`, …; loads and stores have the address `p` too. */
export function parameterName(operand: number): string {
  return required(letters[operand], `letter of operand ${operand}`);
}

/** Lanes that a load or a store touches. */
export function lanesInMemory({ immediates }: VectorOperation): number {
  return required(immediates[1], "count");
}
