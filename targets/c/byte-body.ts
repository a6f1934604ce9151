/** The body of a vector function that only moves bytes, by memcpy: right for every instruction set, since lanes lie in memory in their order. */
import { internal } from "../../compiler/errors.ts";
import { bytesOfElement, bytesOfType, printType, type Type } from "../../compiler/kernel/ir.ts";
import type { Isa } from "./isa/isa.ts";
import { laneLiteral } from "./literals.ts";
import { elementType, holdingOf } from "./types.ts";
import { lanesInMemory, parameterName, type VectorOperation } from "./vector-operation.ts";

/** C statements; undefined for operations that compute. */
export function byteBody(isa: Isa, operation: VectorOperation): readonly string[] | undefined {
  const { op, operands, immediates, result } = operation;
  const element = bytesOfElement(result.element);
  switch (op) {
    case "load":
      return copied(isa, result, [{ from: "p", bytes: lanesInMemory(operation) * element }]);
    case "store":
      return [`memcpy(p, &${parameterName(0)}, ${lanesInMemory(operation) * element});`];
    case "bitcast":
    case "concat":
      if (op === "bitcast" && operands.every((type) => bytesOfType(type) < bytesOfType(result))) return repeated(result);
      return copied(
        isa,
        result,
        operands.map((type, operand) => ({ from: `&${parameterName(operand)}`, bytes: bytesOfType(type) })),
      );
    case "const": {
      if (immediates.length !== result.lanes) return internal("a constant without all of its lanes");
      const lanes = immediates.map((value) => laneLiteral(result.element, value)).join(", ");
      const table = `static const ${elementType(result.element)} lanes[] = {${lanes}};`;
      return [table, ...copied(isa, result, [{ from: "lanes", bytes: bytesOfType(result) }])];
    }
    default:
      return undefined;
  }
}

/** Returns a value of the operand's bytes over and over. */
function repeated(result: Type): readonly string[] {
  const [name, bytes] = [parameterName(0), bytesOfType(result)];
  const loop = `for (size_t i = 0; i < ${bytes}; i += sizeof ${name}) memcpy((unsigned char *)&r + i, &${name}, sizeof ${name});`;
  return [`${printType(result)} r;`, loop, "return r;"];
}

/** Returns a value of these bytes end to end, and zeros behind them. */
export function copied(isa: Isa, result: Type, pieces: readonly { readonly from: string; readonly bytes: number }[]): readonly string[] {
  let at = 0;
  const copies = pieces.map(({ from, bytes }) => {
    const copy = `memcpy(${at === 0 ? "&r" : `(unsigned char *)&r + ${at}`}, ${from}, ${bytes});`;
    at += bytes;
    return copy;
  });
  const zeroed = at < heldBytes(isa, result) ? ["memset(&r, 0, sizeof r);"] : [];
  return [`${printType(result)} r;`, ...zeroed, ...copies, "return r;"];
}

/** Bytes of the C type: a short vector lies in a register that is longer. */
function heldBytes(isa: Isa, type: Type): number {
  const holding = holdingOf(isa, type);
  return holding.kind === "array" ? bytesOfType(type) : holding.bytes * holding.count;
}
