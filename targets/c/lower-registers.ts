/** Vectors as registers: every vector operation is a call of the unit's vocabulary, and a value is an expression as a scalar is. */
import { required } from "../../compiler/errors.ts";
import type { Let, Value } from "../../compiler/kernel/ir.ts";
import { nothing, readsOf, type Expression } from "./expressions.ts";
import type { Isa } from "./isa/isa.ts";
import type { FunctionScope } from "./lower-scope.ts";
import { operationName, stemOf, type VariableLowering, type VectorLowering } from "./lower-vectors.ts";
import { scalarExpression } from "./scalar-operations.ts";
import { isSameInC } from "./types.ts";

export class RegisterVectors implements VectorLowering {
  readonly #isa: Isa;
  readonly #scope: FunctionScope;

  constructor(isa: Isa, scope: FunctionScope) {
    this.#isa = isa;
    this.#scope = scope;
  }

  /** Variables in registers are C's own. */
  get variables(): VariableLowering {
    return this.#scope;
  }

  whole(value: Value): string {
    return this.#scope.use(value).text;
  }

  let(statement: Let): void {
    const { op } = statement;
    if (op.startsWith("load")) this.#load(statement);
    else if (op === "const") this.#constant(statement);
    else this.#operation(statement);
  }

  #load(statement: Let): void {
    const { op, immediates, result } = statement;
    const { place, reads, root } = this.#scope.source(statement);
    const operation = { op: operationName(op), operands: [], immediates: [0, immediates[1] ?? 1], result: result.type };
    this.#scope.define(result, callOf(this.#scope.vocabulary.function(operation), [place], reads), root.name);
  }

  #constant({ immediates, result }: Let): void {
    const { vocabulary } = this.#scope;
    const { element, lanes } = result.type;
    if (immediates.length === 1 && (element === "f32" || element === "i32")) {
      const scalar = { element, lanes: 1 };
      const literal = scalarExpression("const", [], immediates, scalar).text;
      const splat = vocabulary.function({ op: "splat", operands: [scalar], immediates: [lanes], result: result.type });
      this.#scope.define(result, callOf(splat, [literal], nothing), "constant");
      return;
    }
    const literals = immediates.length === 1 ? new Array<number>(lanes).fill(required(immediates[0], "literal")) : immediates;
    const name = vocabulary.function({ op: "const", operands: [], immediates: literals, result: result.type });
    this.#scope.define(result, callOf(name, [], nothing), "constant");
  }

  #operation({ op, args, immediates, result }: Let): void {
    const scope = this.#scope;
    const operands = args.map((arg) => scope.use(arg));
    const [only, first] = [operands[0], args[0]];
    if (op === "bitcast" && only && first && first.type.lanes > 1 && isSameInC(this.#isa, first.type, result.type)) {
      scope.define(result, only, "value");
      return;
    }
    const name = scope.vocabulary.function({
      op: operationName(op),
      operands: args.map(({ type }) => type),
      immediates,
      result: result.type,
    });
    const texts = operands.map(({ text }) => text);
    scope.define(result, callOf(name, texts, readsOf(operands)), stemOf(op));
  }
}

function callOf(name: string, args: readonly string[], reads: ReadonlySet<string>): Expression {
  return { text: `${name}(${args.join(", ")})`, isSimple: true, reads, isNatural: false };
}
