/** What vector functions are called: type of the result, then what is done, as a reader would say it. */
import { required } from "../../compiler/errors.ts";
import { printType, type Type } from "../../compiler/kernel/ir.ts";
import type { VectorOperation } from "./vector-operation.ts";

/** A name that holds all that the function depends on; `numberOf` numbers lists of lanes that have no shorter name. */
export function functionName(
  { op, operands, immediates, result }: VectorOperation,
  numberOf: (values: readonly number[]) => string,
): string {
  const type = printType(result);
  const [first] = operands;
  const of = first ? printType(first) : "";
  switch (op) {
    case "load":
    case "store": {
      const count = immediates[1] ?? result.lanes;
      return `${type}_${op}${count === result.lanes ? "" : `_${count}`}`;
    }
    case "loadSplat":
      return `${type}_load_splat`;
    case "const":
      return immediates.length === 1 ? `${type}_all_${numberOf(immediates)}` : `${type}_constant_${numberOf(immediates)}`;
    case "shl":
    case "shrS":
    case "shrU":
      return `${type}_${shiftNames[op]}_${immediates[0]}`;
    case "lt":
    case "eq":
      return `${of}_${op}`;
    case "bitcast":
      return `${type}_of_bits_${of}`;
    case "concat":
      return `${type}_of_${operands.map(printType).join("_")}`.replace(repeated(operands), `${type}_of_${operands.length}_${of}`);
    case "shuffle":
      return `${type}_${orderName(immediates, operands, numberOf)}_${of}`;
    case "lane":
      return `${of}_lane_${immediates[0]}`;
    case "toFloat":
      return `${type}_from_${of}`;
    default:
      return `${type}_${op
        .replace(/US$/, "Us")
        .replace(/SS$/, "Ss")
        .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
  }
}

const shiftNames = { shl: "shift_left", shrS: "shift_right_signed", shrU: "shift_right" } as const;

/** The long form of a list of equal types, which the short form replaces. */
function repeated(operands: readonly Type[]): string {
  const names = operands.map(printType);
  const isUniform = names.every((name) => name === names[0]);
  const total = operands.reduce((sum, { lanes }) => sum + lanes, 0);
  return isUniform ? `${required(operands[0], "operand").element}x${total}_of_${names.join("_")}` : "";
}

/** `part_8_at_0`, `even`, `odd`, or a number. */
function orderName(lanes: readonly number[], operands: readonly Type[], numberOf: (values: readonly number[]) => string): string {
  const [first = 0] = lanes;
  const isRun = (step: number): boolean => lanes.every((lane, i) => lane === first + step * i);
  if (operands.length === 1 && isRun(1)) return `part_${lanes.length}_at_${first}_of`;
  const total = operands.reduce((sum, { lanes: count }) => sum + count, 0);
  if (operands.length === 1 && isRun(2) && 2 * lanes.length === total && first < 2) return `${first === 0 ? "even" : "odd"}_of`;
  return `order_${numberOf(lanes)}_of${operands.length > 1 ? "_two" : ""}`;
}
