/**
 * Records a kernel. The builder is the only way to make one: it types every operation, folds index arithmetic on constants, and
 * records the same pure operation only once where the first result is still in scope.
 */
import { internal } from "../errors.ts";
import {
  f32,
  i32,
  ptr,
  vector,
  type Element,
  type Kernel,
  type Parameter,
  type Statement,
  type Type,
  type Value,
  type Variable,
} from "./ir.ts";
import { operations, type OperationName } from "./ops.ts";
import { dropUnused, simplifyOperation } from "./simplify.ts";

/** What may stand where an i32 is wanted. */
export type Index = Value | number;

interface Scope {
  readonly statements: Statement[];
  /** Pure operations recorded here, by their text. */
  readonly known: Map<string, Value>;
}

export class KernelBuilder {
  readonly #parameters: Parameter[] = [];
  readonly #scopes: Scope[] = [{ statements: [], known: new Map() }];
  /** Literals by value id, for folding. */
  readonly #literals = new Map<number, number>();
  #next = 0;

  /** A pointer parameter; `note` says what it points at, with its shape. */
  pointer(name: string, access: "read" | "write" | "read-write", note: string): Value {
    return this.#parameter(name, ptr, access, note);
  }

  /** An i32 parameter. */
  scalar(name: string, note: string): Value {
    return this.#parameter(name, i32, "scalar", note);
  }

  #parameter(name: string, type: Type, access: Parameter["access"], note: string): Value {
    const value = this.#fresh(type);
    this.#parameters.push({ name, value, access, note });
    return value;
  }

  #fresh(type: Type): Value {
    return { id: this.#next++, type };
  }

  #scope(): Scope {
    return this.#scopes.at(-1) ?? internal("builder without a scope");
  }

  #emit(statement: Statement): void {
    this.#scope().statements.push(statement);
  }

  /** Records an operation; `asked` is the result type where the operands don't decide it. */
  op(op: OperationName, args: readonly Value[], immediates: readonly number[] = [], asked: Type = i32): Value {
    const type = operations[op].result(
      args.map((arg) => arg.type),
      immediates,
      asked,
    );
    const simpler = simplifyOperation(op, args, immediates, type, (value) => this.#literals.get(value.id));
    if (simpler?.kind === "value") return simpler.value;
    if (simpler?.kind === "literal") return this.#literal(type, simpler.literal);
    if (simpler?.kind === "operation") return this.op(simpler.op, simpler.args, simpler.immediates, type);
    const pure = !op.startsWith("load");
    const key = `${op} ${args.map((arg) => arg.id).join(" ")} | ${immediates.map((i) => (Object.is(i, -0) ? "-0" : String(i))).join(" ")} | ${type.element}x${type.lanes}`;
    const known = pure ? this.#scopes.map((scope) => scope.known.get(key)).find((value) => value) : undefined;
    if (known) return known;
    const result = this.#fresh(type);
    this.#emit({ kind: "let", result, op, args, immediates });
    if (pure) this.#scope().known.set(key, result);
    return result;
  }

  #literal(type: Type, literal: number): Value {
    const value = this.op("const", [], [literal], type);
    if (type.lanes === 1) this.#literals.set(value.id, literal);
    return value;
  }

  int(value: number): Value {
    return this.#literal(i32, value | 0);
  }

  float(value: number): Value {
    return this.#literal(f32, Math.fround(value));
  }

  /** A value of `type` with the same literal in every lane. */
  literal(type: Type, value: number): Value {
    return this.#literal(type, type.element === "f32" ? Math.fround(value) : value);
  }

  /** A constant vector, one literal a lane. */
  lanes(element: Element, values: readonly number[]): Value {
    return this.op("const", [], element === "f32" ? values.map(Math.fround) : values, vector(element, values.length));
  }

  #index(index: Index): Value {
    return typeof index === "number" ? this.int(index) : index;
  }

  /** Operands of which one may be a plain number. */
  #pair(op: OperationName, a: Value, b: Value | number): Value {
    return this.op(op, [a, typeof b === "number" ? this.literal(a.type, b) : b]);
  }

  add(a: Value, b: Value | number): Value {
    return this.#pair("add", a, b);
  }
  sub(a: Value, b: Value | number): Value {
    return this.#pair("sub", a, b);
  }
  mul(a: Value, b: Value | number): Value {
    return this.#pair("mul", a, b);
  }
  div(a: Value, b: Value | number): Value {
    return this.#pair("div", a, b);
  }
  min(a: Value, b: Value | number): Value {
    return this.#pair("min", a, b);
  }
  max(a: Value, b: Value | number): Value {
    return this.#pair("max", a, b);
  }
  and(a: Value, b: Value | number): Value {
    return this.#pair("and", a, b);
  }
  or(a: Value, b: Value | number): Value {
    return this.#pair("or", a, b);
  }
  xor(a: Value, b: Value | number): Value {
    return this.#pair("xor", a, b);
  }
  lt(a: Value, b: Value | number): Value {
    return this.#pair("lt", a, b);
  }
  eq(a: Value, b: Value | number): Value {
    return this.#pair("eq", a, b);
  }
  abs(a: Value): Value {
    return this.op("abs", [a]);
  }
  sqrt(a: Value): Value {
    return this.op("sqrt", [a]);
  }
  shl(a: Value, bits: number): Value {
    return this.op("shl", [a], [bits]);
  }
  shrS(a: Value, bits: number): Value {
    return this.op("shrS", [a], [bits]);
  }
  shrU(a: Value, bits: number): Value {
    return this.op("shrU", [a], [bits]);
  }
  divU(a: Value, divisor: number): Value {
    return this.op("divU", [a], [divisor]);
  }
  remU(a: Value, divisor: number): Value {
    return this.op("remU", [a], [divisor]);
  }
  select(mask: Value, yes: Value, no: Value): Value {
    return this.op("select", [mask, yes, no]);
  }
  toFloat(a: Value): Value {
    return this.op("toFloat", [a]);
  }
  /** Lanes of twice the width, signed. */
  widenS(a: Value): Value {
    return this.op("widenS", [a]);
  }
  /** Lanes of twice the width, unsigned. */
  widenU(a: Value): Value {
    return this.op("widenU", [a]);
  }
  /** Lanes of half the width, saturating as signed. */
  narrowS(a: Value): Value {
    return this.op("narrowS", [a]);
  }
  /** a[2i] * b[2i] + a[2i+1] * b[2i+1], of i16 lanes. */
  dotPairs(a: Value, b: Value): Value {
    return this.op("dotPairs", [a, b]);
  }
  /** sum + the dot products of four bytes a lane, unsigned by signed. */
  dotQuadsUS(sum: Value, u: Value, s: Value): Value {
    return this.op("dotQuadsUS", [sum, u, s]);
  }
  /** The same of signed bytes. */
  dotQuadsSS(sum: Value, a: Value, b: Value): Value {
    return this.op("dotQuadsSS", [sum, a, b]);
  }
  /** Dot products of two bytes, unsigned by signed, as saturating i16. */
  dotPairsUS(u: Value, s: Value): Value {
    return this.op("dotPairsUS", [u, s]);
  }
  /** Products of signed bytes as i16. */
  mulWiden(a: Value, b: Value): Value {
    return this.op("mulWiden", [a, b]);
  }
  /** sum + the sums of neighbouring i16. */
  addPairs(sum: Value, x: Value): Value {
    return this.op("addPairs", [sum, x]);
  }
  /** sum + products of 2x8 by 8x2 signed bytes. */
  dotMatrix(sum: Value, a: Value, b: Value): Value {
    return this.op("dotMatrix", [sum, a, b]);
  }
  /** Products of rows of 32 signed bytes with a panel's group of 16 x 32 unsigned ones. */
  dotTile(s: Value, u: Value): Value {
    return this.op("dotTile", [s, u]);
  }
  bitcast(a: Value, type: Type): Value {
    return this.op("bitcast", [a], [], type);
  }
  splat(a: Value, lanes: number): Value {
    return this.op("splat", [a], [lanes]);
  }
  concat(...parts: readonly Value[]): Value {
    return this.op("concat", parts);
  }
  shuffle(a: Value, lanes: readonly number[]): Value {
    return this.op("shuffle", [a], lanes);
  }
  lane(a: Value, lane: number): Value {
    return this.op("lane", [a], [lane]);
  }
  /** The `count` lanes that start at `start`. */
  part(a: Value, start: number, count: number): Value {
    return this.shuffle(
      a,
      Array.from({ length: count }, (_, i) => start + i),
    );
  }

  advance(pointer: Value, index: Index, strideBytes: number): Value {
    return this.op("advance", [pointer, this.#index(index)], [strideBytes]);
  }
  /** Reads the first `count` lanes of `type` at pointer + index + offset (bytes); the others are 0. */
  load(type: Type, pointer: Value, index: Index = 0, offset = 0, count = type.lanes): Value {
    return this.op("load", [pointer, this.#index(index)], [offset, count], type);
  }
  /** Reads one element into every lane. */
  loadSplat(type: Type, pointer: Value, index: Index = 0, offset = 0): Value {
    return this.op("loadSplat", [pointer, this.#index(index)], [offset, 1], type);
  }
  /** A byte as an unsigned i32. */
  load8(pointer: Value, index: Index = 0, offset = 0): Value {
    return this.op("load8", [pointer, this.#index(index)], [offset, 1]);
  }
  /** A 16-bit number as an unsigned i32. */
  load16(pointer: Value, index: Index = 0, offset = 0): Value {
    return this.op("load16", [pointer, this.#index(index)], [offset, 1]);
  }
  /** Writes the first `count` lanes; `element` says how a scalar lies in memory. */
  store(value: Value, pointer: Value, index: Index = 0, offset = 0, count = value.type.lanes, element = value.type.element): void {
    this.#emit({ kind: "store", pointer, index: this.#index(index), offset, value, element, count });
  }

  /** Asks for a cache line that will be read soon; it may lie outside of the memory behind the pointer. */
  prefetch(pointer: Value, index: Index = 0, offset = 0): void {
    this.#emit({ kind: "prefetch", pointer, index: this.#index(index), offset });
  }

  /** A mutable variable, for values that change across iterations. */
  variable(name: string, initial: Value): Variable {
    const variable = { variable: this.#next++, name, type: initial.type };
    this.#emit({ kind: "declare", variable, initial });
    return variable;
  }
  read(variable: Variable): Value {
    const result = this.#fresh(variable.type);
    this.#emit({ kind: "read", result, variable });
    return result;
  }
  assign(variable: Variable, value: Value): void {
    this.#emit({ kind: "assign", variable, value });
  }

  #nested(body: () => void): Statement[] {
    const scope: Scope = { statements: [], known: new Map() };
    this.#scopes.push(scope);
    body();
    this.#scopes.pop();
    return scope.statements;
  }

  /** for (index = from; index < to; index += step). A loop that surely runs once is its body; one that never runs is nothing. */
  for(name: string, from: Index, to: Index, step: number, body: (index: Value) => void): void {
    const [start, end] = [this.#index(from), this.#index(to)];
    const [first, last] = [this.#literals.get(start.id), this.#literals.get(end.id)];
    if (first !== undefined && last !== undefined) {
      if (first >= last) return;
      if (first + step >= last) {
        body(start);
        return;
      }
    }
    const index = this.#fresh(i32);
    this.#emit({
      kind: "for",
      name,
      index,
      from: start,
      to: end,
      step,
      body: this.#nested(() => {
        body(index);
      }),
    });
  }

  if(condition: Value, then: () => void, otherwise: () => void = () => undefined): void {
    this.#emit({ kind: "if", condition, then: this.#nested(then), otherwise: this.#nested(otherwise) });
  }

  /** The finished kernel. */
  build(name: string, summary: string): Kernel {
    if (this.#scopes.length !== 1) internal(`kernel ${name} built inside a block`);
    return { name, summary, parameters: this.#parameters, body: dropUnused(this.#scope().statements) };
  }
}

/** Records a kernel: `record` receives the builder, declares parameters and emits the body. */
export function recordKernel(name: string, summary: string, record: (b: KernelBuilder) => void): Kernel {
  const builder = new KernelBuilder();
  record(builder);
  return builder.build(name, summary);
}
