/** The body of a vector function lane by lane: on the value itself where it is an array of lanes, else on copies in memory. */
import { internal } from "../../compiler/errors.ts";
import { bytesOfType, printType } from "../../compiler/kernel/ir.ts";
import { copied } from "./byte-body.ts";
import type { Isa } from "./isa/isa.ts";
import { laneRowOf } from "./lane-rows.ts";
import { elementType } from "./types.ts";
import { parameterName, type VectorOperation } from "./vector-operation.ts";

/** C statements, for every operation on lanes. */
export function laneBody(isa: Isa, { op, operands, immediates, result }: VectorOperation): readonly string[] {
  if (op === "store" || op.startsWith("load")) return internal(`${op} has no lanes`);
  const isArray = isa.registers.length === 0;
  const x = (operand: number, index: string): string => {
    const name = parameterName(operand);
    if (operands[operand]?.lanes === 1) return name;
    return isArray ? `${name}.lane[${index}]` : `${name}s[${index}]`;
  };
  const expression = laneRowOf(op)({ type: result, operands, immediates, x }, "i");
  const order = op === "shuffle" ? [`static const uint16_t order[] = {${immediates.join(", ")}};`] : [];
  const copies = operands.flatMap((type, operand) => {
    const name = parameterName(operand);
    if (isArray || type.lanes === 1) return [];
    return [`${elementType(type.element)} ${name}s[${type.lanes}];`, `memcpy(${name}s, &${name}, sizeof ${name}s);`];
  });
  if (result.lanes === 1) return [...order, ...copies, `return ${expression};`];
  const loop = (lanes: string): string => `for (int i = 0; i < ${result.lanes}; i++) ${lanes}[i] = ${expression};`;
  if (isArray) return [...order, `${printType(result)} r;`, loop("r.lane"), "return r;"];
  const made = [`${elementType(result.element)} rs[${result.lanes}];`, ...copies, loop("rs")];
  return [...order, ...made, ...copied(isa, result, [{ from: "rs", bytes: bytesOfType(result) }])];
}
