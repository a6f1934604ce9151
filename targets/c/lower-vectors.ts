/** What the two ways have in common in which vectors become C: in registers (lower-registers.ts) and lane by lane (lower-lanes.ts). */
import { internal } from "../../compiler/errors.ts";
import type { Let, Value } from "../../compiler/kernel/ir.ts";
import { operations, type OperationName } from "../../compiler/kernel/ops.ts";

/** How vectors become C. */
export interface VectorLowering {
  /** Lowers an operation that takes or makes a vector. */
  let(statement: Let): void;
  /** A C expression of a whole vector, for its use here. */
  whole(value: Value): string;
  readonly variables: VariableLowering;
}

/** How variables of a kind become C. */
export interface VariableLowering {
  declare(name: string, initial: Value): void;
  assign(name: string, value: Value): void;
  read(result: Value, name: string): void;
}

export function operationName(op: string): OperationName {
  return Object.hasOwn(operations, op) ? (op as OperationName) : internal(`no operation ${op}`);
}

const stems: Readonly<Record<string, string>> = {
  const: "constant",
  add: "sum",
  sub: "difference",
  mul: "product",
  div: "quotient",
  min: "least",
  max: "most",
  sqrt: "root",
  lt: "is_less",
  eq: "is_equal",
  select: "chosen",
  bitcast: "bits",
  shl: "shifted",
  shrS: "shifted",
  shrU: "shifted",
  splat: "all",
  lane: "lane",
  toFloat: "float",
  mulWiden: "product",
  addPairs: "sum",
  dotQuadsUS: "dot",
  dotQuadsSS: "dot",
  dotPairs: "pairs",
};

/** What a value is called that needs a name. */
export function stemOf(op: string): string {
  return stems[op] ?? "value";
}
