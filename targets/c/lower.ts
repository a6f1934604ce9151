/**
 * Kernel IR to C: one static function a kernel. Index arithmetic is plain C, variables are C variables, loops `for` loops; vectors are calls of
 * the unit's vocabulary, or loops over lanes where the instruction set has no registers. What is used once is written where it is used;
 * everything else gets a name that tells what it is.
 */
import { assertNever, internal } from "../../compiler/errors.ts";
import {
  operandsOf,
  type For,
  type Kernel,
  type Let,
  type Parameter,
  type Statement,
  type Store,
  type Type,
} from "../../compiler/kernel/ir.ts";
import { memory, nothing, readsOf } from "./expressions.ts";
import type { Isa } from "./isa/isa.ts";
import { LaneVectors } from "./lower-lanes.ts";
import { RegisterVectors } from "./lower-registers.ts";
import { FunctionScope } from "./lower-scope.ts";
import { stemOf, type VariableLowering, type VectorLowering } from "./lower-vectors.ts";
import { functionSymbol } from "./names.ts";
import { bracketed, scalarExpression } from "./scalar-operations.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { comment, type CWriter } from "./writer.ts";

export interface LowerContext {
  readonly isa: Isa;
  readonly vocabulary: Vocabulary;
  readonly writer: CWriter;
}

/** Writes a kernel as a function; `linkage` stands before it, `static` or nothing. */
export function lowerKernel({ isa, vocabulary, writer }: LowerContext, kernel: Kernel, linkage: "static " | "" = "static "): void {
  const { name, summary, parameters, body } = kernel;
  const width = Math.max(...parameters.map((parameter) => parameterText(parameter).length));
  writer.line(comment(summary));
  writer.line(`${linkage}void ${functionSymbol(name)}(`);
  parameters.forEach((parameter, i) => {
    const text = parameterText(parameter) + (i < parameters.length - 1 ? "," : ")");
    writer.line(`    ${parameter.note === "" ? text : `${text.padEnd(width + 2)}${comment(parameter.note)}`}`);
  });
  writer.body(() => {
    const used = new Set(usedValues(body));
    for (const parameter of parameters) if (!used.has(parameter.value.id)) writer.line(`(void)${parameter.name};`);
    const scope = new FunctionScope(kernel, vocabulary, writer);
    const vectors = isa.registers.length === 0 ? new LaneVectors(scope) : new RegisterVectors(isa, scope);
    new StatementLowering(scope, vectors).body(body);
  });
}

class StatementLowering {
  readonly #scope: FunctionScope;
  readonly #vectors: VectorLowering;

  constructor(scope: FunctionScope, vectors: VectorLowering) {
    this.#scope = scope;
    this.#vectors = vectors;
  }

  body(statements: readonly Statement[]): void {
    for (const statement of statements) this.#statement(statement);
    this.#scope.settle();
  }

  #statement(statement: Statement): void {
    const scope = this.#scope;
    switch (statement.kind) {
      case "let":
        this.#let(statement);
        return;
      case "store":
        this.#store(statement);
        return;
      case "prefetch":
        scope.line(`prefetch(${scope.place(statement.pointer, statement.index, statement.offset).text});`);
        return;
      case "declare": {
        const { variable, initial } = statement;
        const name = scope.names.fresh(variable.name);
        this.#variables(initial.type).declare(name, initial);
        scope.nameVariable(variable.variable, name);
        scope.inheritRoot(variable.variable, initial.id);
        return;
      }
      case "assign":
        this.#variables(statement.value.type).assign(scope.variable(statement.variable.variable), statement.value);
        return;
      case "read":
        scope.inheritRoot(statement.result.id, statement.variable.variable);
        this.#variables(statement.result.type).read(statement.result, scope.variable(statement.variable.variable));
        return;
      case "for":
        this.#for(statement);
        return;
      case "if": {
        const { condition, then, otherwise } = statement;
        const { text } = scope.use(condition);
        scope.flush(() => true);
        const branch = (statements: readonly Statement[]) => (): void => {
          this.body(statements);
        };
        scope.block(`if (${text})`, branch(then), otherwise.length === 0 ? undefined : branch(otherwise));
        return;
      }
      default:
        assertNever(statement);
    }
  }

  #variables({ lanes }: Type): VariableLowering {
    return lanes > 1 ? this.#vectors.variables : this.#scope;
  }

  #for({ index, name, from, to, step, body }: For): void {
    const scope = this.#scope;
    const first = scope.use(from);
    // Bounds are computed once; what they read may change in the loop.
    const last = scope.useNamed(to, `${name}_end`);
    scope.flush(() => true);
    const counter = scope.names.fresh(name);
    scope.know(index, { text: counter, isSimple: true, reads: nothing, isNatural: true });
    const next = step === 1 ? `${counter}++` : `${counter} += ${step}`;
    scope.block(`for (int32_t ${counter} = ${first.text}; ${counter} < ${last.text}; ${next})`, () => {
      this.body(body);
    });
    scope.names.release(counter);
  }

  #let(statement: Let): void {
    const { op, args, immediates, result } = statement;
    if (op === "advance") this.#advance(statement);
    else if (result.type.lanes > 1 || args.some(({ type }) => type.lanes > 1)) this.#vectors.let(statement);
    else if (op.startsWith("load")) this.#load(statement);
    else {
      const operands = args.map((arg) => this.#scope.use(arg));
      const [only, type] = [operands[0], args[0]?.type];
      const isSame = op === "bitcast" && type?.element === result.type.element;
      const expression = isSame && only ? only : scalarExpression(op, operands, immediates, result.type);
      // A literal costs no more where it stands than a name would.
      if (op === "const") this.#scope.know(result, expression);
      else this.#scope.define(result, expression, stemOf(op));
    }
  }

  #advance({ args, immediates, result }: Let): void {
    const scope = this.#scope;
    const [pointer, index] = args;
    const [stride] = immediates;
    if (!pointer || !index || stride === undefined) return internal("advance without a pointer, an index or a stride");
    scope.inheritRoot(result.id, pointer.id);
    const [base, count] = [scope.use(pointer), scope.use(index)];
    const distance = stride === 1 ? count.text : `(ptrdiff_t)${bracketed(count)} * ${stride}`;
    const expression = { text: `${base.text} + ${distance}`, isSimple: false, reads: readsOf([base, count]), isNatural: false };
    scope.define(result, stride === 0 ? base : expression, scope.root(result).name);
  }

  /** A scalar from memory. */
  #load(statement: Let): void {
    const { op, result } = statement;
    const { place, reads, root } = this.#scope.source(statement);
    const name = op === "load8" ? "i32_load_u8" : op === "load16" ? "i32_load_u16" : `${result.type.element}_load`;
    this.#scope.define(result, { text: `${name}(${place})`, isSimple: true, reads, isNatural: false }, root.name);
  }

  #store({ pointer, index, offset, value, element, count }: Store): void {
    const scope = this.#scope;
    const { text: place } = scope.place(pointer, index, offset);
    const isVector = value.type.lanes > 1;
    const stored = isVector ? this.#vectors.whole(value) : scope.use(value).text;
    scope.flush((read) => read === memory);
    const narrow = { i8: "i32_store_8", i16: "i32_store_16" } as const;
    const name = isVector
      ? scope.vocabulary.function({ op: "store", operands: [], immediates: [0, count], result: value.type })
      : element === "i8" || element === "i16"
        ? narrow[element]
        : `${element}_store`;
    scope.line(`${name}(${place}, ${stored});`);
  }
}

/** A parameter's declaration. Kernels write to no memory that another of their pointers leads to. */
export function parameterText({ name, access }: Parameter): string {
  if (access === "scalar") return `int32_t ${name}`;
  return `${access === "read" ? "const " : ""}unsigned char *restrict ${name}`;
}

function usedValues(statements: readonly Statement[]): readonly number[] {
  return statements.flatMap((statement) => {
    const own = operandsOf(statement).map(({ id }) => id);
    if (statement.kind === "for") return [...own, ...usedValues(statement.body)];
    return statement.kind === "if" ? [...own, ...usedValues(statement.then), ...usedValues(statement.otherwise)] : own;
  });
}
