/** The body of a vector function register by register, from the rows of its instruction set. */
import { required } from "../../compiler/errors.ts";
import { bytesOfElement, bytesOfType, printType, type Type } from "../../compiler/kernel/ir.ts";
import { heldOperand } from "./held-operand.ts";
import type { Isa } from "./isa/isa.ts";
import { holdingOf, lanesPerRegister, type Holding } from "./types.ts";
import { lanesInMemory, parameterName, type VectorOperation } from "./vector-operation.ts";

type Registers = Extract<Holding, { kind: "registers" }>;

/** C statements; undefined where the set has no row for one of the registers, or holds vectors as arrays. */
export function registerBody(isa: Isa, operation: VectorOperation): readonly string[] | undefined {
  const { op, operands, result } = operation;
  const holding = holdingOf(isa, result.lanes > 1 ? result : required(operands[0], "operand"));
  if (holding.kind === "array") return undefined;
  if (op === "load" || op === "store") return memoryAccess(isa, operation, holding);
  return parallel(isa, operation, holding) ?? regrouped(isa, operation, holding);
}

/** Whole registers from or to memory. */
function memoryAccess(isa: Isa, operation: VectorOperation, { bytes, count }: Registers): readonly string[] | undefined {
  const { op, result } = operation;
  if (bytesOfType(result) !== bytes * count || lanesInMemory(operation) !== result.lanes) return undefined;
  const at = (i: number): string => (i === 0 ? "p" : `p + ${i * bytes}`);
  if (op === "load") return returned(result, count, (i) => isa.load(at(i), result.element, bytes));
  return Array.from({ length: count }, (_, i) => `${isa.store(at(i), registerOf(parameterName(0), count, i), result.element, bytes)};`);
}

/** Each register from the operands' registers in the same place. */
function parallel(
  isa: Isa,
  { op, operands, immediates, result }: VectorOperation,
  { bytes, count }: Registers,
): readonly string[] | undefined {
  const row = op === "store" ? undefined : isa.byRegister[op];
  const sameShape = operands.every((type) => {
    if (type.lanes === 1) return true;
    const other = holdingOf(isa, type);
    return other.kind === "registers" && other.bytes === bytes && other.count === count;
  });
  if (!row || result.lanes === 1 || !sameShape) return undefined;
  const element = operands[0]?.element ?? result.element;
  return returned(result, count, (i) => {
    const args = operands.map(({ lanes }, operand) => registerOf(parameterName(operand), lanes === 1 ? 1 : count, i));
    return row({ element, result: result.element, bytes, args, immediates });
  });
}

/** Each register from wherever its lanes come. */
function regrouped(
  isa: Isa,
  { op, operands, immediates, result }: VectorOperation,
  { bytes, count }: Registers,
): readonly string[] | undefined {
  const row = op === "store" ? undefined : isa.byValue[op];
  if (!row) return undefined;
  const call = {
    type: result,
    operands: operands.map((type, operand) => heldOperand(isa, type, parameterName(operand))),
    args: op === "loadSplat" ? [`${result.element}_load(p)`] : operands.map((_, operand) => parameterName(operand)),
    immediates,
  };
  if (result.lanes === 1) {
    const value = row(call, 0, 1, bytesOfElement(result.element));
    return value === undefined ? undefined : [`return ${value};`];
  }
  const lanes = Math.min(result.lanes, lanesPerRegister(result, bytes));
  return returned(result, count, (i) => row(call, i * lanes, lanes, bytes));
}

/** Returns a value of `count` registers; undefined where one of them is. */
function returned(result: Type, count: number, register: (index: number) => string | undefined): readonly string[] | undefined {
  const registers: string[] = [];
  for (let i = 0; i < count; i++) {
    const text = register(i);
    if (text === undefined) return undefined;
    registers.push(text);
  }
  if (count === 1) return [`return ${registers.join("")};`];
  return [`const ${printType(result)} r = {{`, `  ${registers.join(",\n    ")}`, "}};", "return r;"];
}

function registerOf(name: string, count: number, index: number): string {
  return count === 1 ? name : `${name}.part[${index}]`;
}
