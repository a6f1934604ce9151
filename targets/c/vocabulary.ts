/**
 * The vector functions that a unit's kernels are written in: `f32x16_mul(a, b)`, `i8x64_load(p)`. Each is a static inline function, defined for
 * the unit's instruction set where it is first used: from the set's own rows register by register, else lane by lane. So kernels read the
 * same for every instruction set.
 */
import { internal, required } from "../../compiler/errors.ts";
import { bytesOfElement, bytesOfType, printType, type Element, type Type } from "../../compiler/kernel/ir.ts";
import type { OperationName } from "../../compiler/kernel/ops.ts";
import { functionName } from "./function-names.ts";
import { heldOperand } from "./held-operand.ts";
import type { Isa } from "./isa/isa.ts";
import { laneRowOf } from "./lane-rows.ts";
import { floatLiteral } from "./literals.ts";
import { scalarFunctions, scalarFunctionsIn } from "./scalar-functions.ts";
import { elementType, holdingOf, lanesPerRegister, typeDefinitions } from "./types.ts";

/** An operation as a function: its operands' types are part of what it is. */
export interface VectorOperation {
  readonly op: OperationName | "store";
  readonly operands: readonly Type[];
  readonly immediates: readonly number[];
  readonly result: Type;
}

const letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"] as const;

export class Vocabulary {
  readonly #isa: Isa;
  readonly #types = new Map<string, Type>();
  readonly #functions = new Map<string, string>();
  readonly #tables = new Map<string, string>();

  constructor(isa: Isa) {
    this.#isa = isa;
  }

  /** The C type of a value. */
  type(type: Type): string {
    if (type.lanes === 1) return elementType(type.element);
    this.#types.set(printType(type), type);
    return printType(type);
  }

  /** The name of the function of an operation, defined from now on. */
  function(operation: VectorOperation): string {
    const name = functionName(operation, (values) => this.#table(values));
    if (!this.#functions.has(name)) {
      for (const type of [...operation.operands, operation.result]) this.type(type);
      this.#functions.set(name, this.#define(name, operation));
    }
    return name;
  }

  /** All definitions, in an order that C takes; `code` is what uses them, for its scalar functions. */
  definitions(code: string): readonly string[] {
    const functions = [...this.#functions.values()];
    const types = [...this.#types.values()].toSorted((a, b) => a.element.localeCompare(b.element) || a.lanes - b.lanes);
    const prelude = functions.length > 0 ? this.#isa.prelude : [];
    const scalars = scalarFunctionsIn([...prelude, ...functions, code].join("\n")).map((name) => required(scalarFunctions[name], name));
    return [...scalars, "", ...typeDefinitions(this.#isa, types), "", ...prelude, ...functions];
  }

  /** The number of a constant list of lanes, for names. */
  #table(values: readonly number[]): string {
    const key = values.join(", ");
    const known = this.#tables.get(key) ?? String(this.#tables.size);
    this.#tables.set(key, known);
    return known;
  }

  #define(name: string, operation: VectorOperation): string {
    const { op, operands, result } = operation;
    const isMemory = op.startsWith("load");
    const parameters = isMemory
      ? ["const unsigned char *p"]
      : op === "store"
        ? ["unsigned char *p", `${this.type(result)} a`]
        : operands.map((type, i) => `${this.type(type)} ${required(letters[i], "parameter")}`);
    const returned = op === "store" ? "void" : this.type(result);
    const made = this.#statements(operation) ?? this.#registers(operation) ?? this.#memory(operation) ?? this.#lanes(operation);
    // An order of lanes may come from one of two operands alone.
    const unused =
      op === "shuffle"
        ? ["a", "b"].slice(0, operands.length).filter((letter) => !new RegExp(`\\b${letter}s?\\b`).test(made.join(" ")))
        : [];
    const body = [...unused.map((letter) => `(void)${letter};`), ...made];
    const head = `static inline ${returned} ${name}(${parameters.join(", ") || "void"})`;
    const [only] = body;
    if (body.length === 1 && only !== undefined && head.length + only.length < 116) return `${head} { ${only} }`;
    return [`${head} {`, ...body.map((line) => `  ${line}`), "}"].join("\n");
  }

  /** The body of an instruction that works on memory. */
  #statements({ op, operands, result }: VectorOperation): readonly string[] | undefined {
    const row = op === "store" ? undefined : this.#isa.byMemory?.[op];
    if (!row) return undefined;
    const addresses = operands.map((_, i) => `&${required(letters[i], "operand")}`);
    const lines = row(addresses, "&r", result);
    return lines && [`${this.type(result)} r;`, ...lines, "return r;"];
  }

  /** The body register by register, where the instruction set has rows for all of them. */
  #registers({ op, operands, immediates, result }: VectorOperation): readonly string[] | undefined {
    const isa = this.#isa;
    const holding = holdingOf(isa, result.lanes > 1 ? result : required(operands[0], "operand"));
    if (holding.kind === "array") return undefined;
    const held = operands.map((type, i) => heldOperand(isa, type, required(letters[i], "operand")));
    const whole = result.lanes > 1 ? bytesOfType(result) === holding.bytes * holding.count : true;
    if (op === "store" || (op.startsWith("load") && op !== "loadSplat")) {
      if (!whole || required(immediates[1], "count") !== result.lanes) return undefined;
      const at = (i: number): string => (i === 0 ? "p" : `p + ${i * holding.bytes}`);
      if (op === "load") return this.#returned(result, holding.count, (i) => isa.load(at(i), result.element, holding.bytes));
      const value = heldOperand(isa, result, "a");
      const lanes = lanesPerRegister(result, holding.bytes);
      return Array.from({ length: holding.count }, (_, i) => {
        const register = required(value.lanes(i * lanes, lanes), "register");
        return `${isa.store(at(i), register, result.element, holding.bytes)};`;
      });
    }
    const byRegister = isa.byRegister[op];
    const sameShape = operands.every((type) => {
      const other = type.lanes > 1 ? holdingOf(isa, type) : holding;
      return other.kind === "registers" && other.bytes === holding.bytes && other.count === holding.count;
    });
    if (byRegister && result.lanes > 1 && sameShape) {
      const body = this.#returned(result, holding.count, (i) =>
        byRegister({
          element: operands[0]?.element ?? result.element,
          result: result.element,
          bytes: holding.bytes,
          args: operands.map((type, k) => registerOf(required(letters[k], "operand"), type, holding.count, i)),
          immediates,
        }),
      );
      if (body) return body;
    }
    const byValue = isa.byValue[op];
    if (!byValue) return undefined;
    const args = op === "loadSplat" ? [`${result.element}_load(p)`] : operands.map((_, i) => required(letters[i], "operand"));
    const call = { type: result, operands: held, args, immediates };
    if (result.lanes === 1) {
      const value = byValue(call, 0, 1, bytesOfElement(result.element));
      return value === undefined ? undefined : [`return ${value};`];
    }
    const lanes = Math.min(result.lanes, lanesPerRegister(result, holding.bytes));
    return this.#returned(result, holding.count, (i) => byValue(call, i * lanes, lanes, holding.bytes));
  }

  #returned(result: Type, count: number, register: (index: number) => string | undefined): readonly string[] | undefined {
    const registers: string[] = [];
    for (let i = 0; i < count; i++) {
      const text = register(i);
      if (text === undefined) return undefined;
      registers.push(text);
    }
    if (count === 1) return [`return ${required(registers[0], "register")};`];
    return [`const ${this.type(result)} r = {{`, `  ${registers.join(",\n    ")}`, "}};", "return r;"];
  }

  /** Copies of bytes: what needs no arithmetic. */
  #memory({ op, operands, immediates, result }: VectorOperation): readonly string[] | undefined {
    const type = this.type(result);
    const zeroed = [`${type} r;`, "memset(&r, 0, sizeof r);"];
    const size = bytesOfType(result);
    switch (op) {
      case "load":
        return [...zeroed, `memcpy(&r, p, ${required(immediates[1], "count") * bytesOfElement(result.element)});`, "return r;"];
      case "store":
        return [`memcpy(p, &a, ${required(immediates[1], "count") * bytesOfElement(result.element)});`];
      case "bitcast":
        return [...zeroed, `memcpy(&r, &a, ${size});`, "return r;"];
      case "concat": {
        let at = 0;
        const copies = operands.map((operand, i) => {
          const copy = `memcpy((unsigned char *)&r + ${at}, &${required(letters[i], "operand")}, ${bytesOfType(operand)});`;
          at += bytesOfType(operand);
          return copy;
        });
        return [...zeroed, ...copies, "return r;"];
      }
      case "const": {
        const lanes = immediates.map((value) => literalOf(result.element, value)).join(", ");
        return [`static const ${elementType(result.element)} lanes[] = {${lanes}};`, ...zeroed, `memcpy(&r, lanes, ${size});`, "return r;"];
      }
      default:
        return undefined;
    }
  }

  /** A loop over lanes: on the value itself where it is an array of them, else on copies. */
  #lanes(operation: VectorOperation): readonly string[] {
    const { op, operands, immediates, result } = operation;
    const row = laneRowOf(op === "store" ? internal("a store has no lanes") : op === "loadSplat" ? "splat" : op);
    const isArray = holdingOf(this.#isa, vectorOf(operation)).kind === "array";
    const x = (operand: number, index: string): string => {
      const letter = required(letters[operand], "operand");
      if (operands[operand]?.lanes === 1) return letter;
      return isArray ? `${letter}.lane[${index}]` : `${letter}s[${index}]`;
    };
    const splatted = op === "loadSplat" ? [`const ${elementType(result.element)} a = ${result.element}_load(p);`] : [];
    const scalarSplat = op === "splat" || op === "loadSplat";
    const expression = row({ type: result, operands, immediates, x: scalarSplat ? () => "a" : x }, "i");
    const order = op === "shuffle" ? [`static const uint16_t order[] = {${immediates.join(", ")}};`] : [];
    const copies = isArray
      ? []
      : operands.flatMap((type, i) => {
          if (type.lanes === 1) return [];
          const letter = required(letters[i], "operand");
          return [`${elementType(type.element)} ${letter}s[${type.lanes}];`, `memcpy(${letter}s, &${letter}, sizeof ${letter}s);`];
        });
    if (result.lanes === 1) return [...order, ...copies, `return ${expression};`];
    const loop = (target: string): string => `for (int i = 0; i < ${result.lanes}; i++) ${target}[i] = ${expression};`;
    const type = this.type(result);
    if (isArray) return [...order, ...splatted, `${type} r;`, loop("r.lane"), "return r;"];
    const lanes = [`${elementType(result.element)} rs[${result.lanes}];`, ...splatted, ...copies, loop("rs")];
    return [...order, ...lanes, `${type} r;`, "memset(&r, 0, sizeof r);", "memcpy(&r, rs, sizeof rs);", "return r;"];
  }
}

function vectorOf({ operands, result }: VectorOperation): Type {
  return result.lanes > 1 ? result : required(operands[0], "operand");
}

function registerOf(letter: string, type: Type, count: number, index: number): string {
  return type.lanes === 1 || count === 1 ? letter : `${letter}.part[${index}]`;
}

/** A lane's literal; integers are cut to their width. */
function literalOf(element: Element, value: number): string {
  if (element === "f32") return floatLiteral(value);
  const unused = 32 - 8 * bytesOfElement(element);
  const cut = (value << unused) >> unused;
  return cut === -(2 ** 31) ? "INT32_MIN" : String(cut);
}
