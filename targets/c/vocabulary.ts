/**
 * The vector functions that a unit's kernels are written in: `f32x16_mul(a, b)`, `i8x64_load(p)`. Each is a static inline function, defined for
 * the unit's instruction set where it is first used: from the set's own rows register by register, else lane by lane. So kernels read the
 * same for every instruction set.
 */
import { required } from "../../compiler/errors.ts";
import { printType, type Type } from "../../compiler/kernel/ir.ts";
import { byteBody } from "./byte-body.ts";
import { functionName } from "./function-names.ts";
import type { Isa } from "./isa/isa.ts";
import { laneBody } from "./lane-body.ts";
import { registerBody } from "./register-body.ts";
import { scalarFunctions, scalarFunctionsIn } from "./scalar-functions.ts";
import { elementType, typeDefinitions } from "./types.ts";
import { parameterName, type VectorOperation } from "./vector-operation.ts";

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
    const values = operands.map((type, operand) => `${this.type(type)} ${parameterName(operand)}`);
    const parameters = op.startsWith("load")
      ? ["const unsigned char *p"]
      : op === "store"
        ? ["unsigned char *p", `${this.type(result)} ${parameterName(0)}`]
        : values;
    const body = this.#body(operation);
    const head = `static inline ${op === "store" ? "void" : this.type(result)} ${name}(${parameters.join(", ") || "void"})`;
    const [only] = body;
    if (body.length === 1 && only !== undefined && head.length + only.length < mostColumns) return `${head} { ${only} }`;
    return [`${head} {`, ...body.map((line) => `  ${line}`), "}"].join("\n");
  }

  #body(operation: VectorOperation): readonly string[] {
    const body =
      this.#statements(operation) ?? registerBody(this.#isa, operation) ?? byteBody(this.#isa, operation) ?? laneBody(this.#isa, operation);
    // An order of lanes may take them all from one of its two operands.
    const unused = operation.op === "shuffle" ? operation.operands.map((_, i) => parameterName(i)).filter((name) => !uses(body, name)) : [];
    return [...unused.map((name) => `(void)${name};`), ...body];
  }

  /** The body of an instruction that works on memory. */
  #statements({ op, operands, result }: VectorOperation): readonly string[] | undefined {
    const row = op === "store" ? undefined : this.#isa.byMemory?.[op];
    const lines = row?.(
      operands.map((_, operand) => `&${parameterName(operand)}`),
      "&r",
      result,
    );
    return lines && [`${this.type(result)} r;`, ...lines, "return r;"];
  }
}

const mostColumns = 116;

function uses(body: readonly string[], name: string): boolean {
  return new RegExp(`\\b${name}s?\\b`).test(body.join(" "));
}
