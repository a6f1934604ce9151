/**
 * The kernel IR: how one kernel runs, as data. A kernel is a list of statements over typed values in single assignment, with loops,
 * conditions and a few mutable variables (accumulators). It knows nothing of graphs, targets or addresses: memory is reached
 * through pointer parameters and byte offsets.
 *
 * Vectors may be wider than a machine's registers: `f32x16` is the natural unit (a panel's 16 rows), and each target splits it into
 * the parts that it has.
 */

export type Element = "i8" | "i16" | "i32" | "f32" | "ptr";

/** `lanes` 1 is a scalar; scalars are i32, f32 or ptr. Integers carry no sign: the operations do. */
export interface Type {
  readonly element: Element;
  readonly lanes: number;
}

export const i32: Type = { element: "i32", lanes: 1 };
export const f32: Type = { element: "f32", lanes: 1 };
export const ptr: Type = { element: "ptr", lanes: 1 };

/** A vector type, or the scalar where `lanes` is 1. */
export function vector(element: Element, lanes: number): Type {
  return { element, lanes };
}

const elementBytes = { i8: 1, i16: 2, i32: 4, f32: 4, ptr: 0 } as const;

/** Bytes of one element; a pointer has none, because targets differ. */
export function bytesOfElement(element: Element): number {
  return elementBytes[element];
}

/** Bytes of all lanes of a value; 0 for a pointer. */
export function bytesOfType(type: Type): number {
  return elementBytes[type.element] * type.lanes;
}

/** `f32x16`, `i32`, `ptr`. */
export function printType(type: Type): string {
  return type.lanes === 1 ? type.element : `${type.element}x${type.lanes}`;
}

/** Whether element and lanes agree. */
export function sameType(a: Type, b: Type): boolean {
  return a.element === b.element && a.lanes === b.lanes;
}

/** A value in single assignment; `id` is unique in its kernel. */
export interface Value {
  readonly id: number;
  readonly type: Type;
}

/** A mutable variable: an accumulator that lives across iterations. */
export interface Variable {
  readonly variable: number;
  readonly name: string;
  readonly type: Type;
}

export interface Parameter {
  readonly name: string;
  readonly value: Value;
  /** For pointers: what the kernel does with the memory behind it. */
  readonly access: "read" | "write" | "read-write" | "scalar";
  /** What it holds, with its shape: "activations [rows, 1024] i8". Printed by print.ts. */
  readonly note: string;
}

/** `immediates` are the operation's constants: a literal, a byte offset and count, lane indices, a stride. */
export interface Let {
  readonly kind: "let";
  readonly result: Value;
  readonly op: string;
  readonly args: readonly Value[];
  readonly immediates: readonly number[];
}

/** Stores the first `count` lanes of `value` at pointer + index + offset (bytes). */
export interface Store {
  readonly kind: "store";
  readonly pointer: Value;
  readonly index: Value;
  readonly offset: number;
  readonly value: Value;
  /** How the element lies in memory: an i32 scalar may be stored as i8 or i16. */
  readonly element: Element;
  readonly count: number;
}

/**
 * Asks for the cache line at pointer + index + offset (bytes), which will be read soon. Computes nothing, and may lie outside of what the pointer
 * leads to: machines ignore an address that is none.
 */
export interface Prefetch {
  readonly kind: "prefetch";
  readonly pointer: Value;
  readonly index: Value;
  readonly offset: number;
}

export interface Declare {
  readonly kind: "declare";
  readonly variable: Variable;
  readonly initial: Value;
}

export interface Assign {
  readonly kind: "assign";
  readonly variable: Variable;
  readonly value: Value;
}

/** Reads a variable's present value. */
export interface Read {
  readonly kind: "read";
  readonly result: Value;
  readonly variable: Variable;
}

/** for (index = from; index < to; index += step), signed. */
export interface For {
  readonly kind: "for";
  readonly name: string;
  readonly index: Value;
  readonly from: Value;
  readonly to: Value;
  readonly step: number;
  readonly body: readonly Statement[];
}

/** The branch taken where `condition`, an i32 scalar, is not 0. */
export interface If {
  readonly kind: "if";
  readonly condition: Value;
  readonly then: readonly Statement[];
  readonly otherwise: readonly Statement[];
}

export type Statement = Let | Store | Prefetch | Declare | Assign | Read | For | If;

/** The values that a statement itself takes; those inside its body are the body's. */
export function operandsOf(statement: Statement): readonly Value[] {
  switch (statement.kind) {
    case "let":
      return statement.args;
    case "store":
      return [statement.pointer, statement.index, statement.value];
    case "prefetch":
      return [statement.pointer, statement.index];
    case "declare":
      return [statement.initial];
    case "assign":
      return [statement.value];
    case "for":
      return [statement.from, statement.to];
    case "if":
      return [statement.condition];
    case "read":
      return [];
  }
}

export interface Kernel {
  /** Describes the kernel in full, matching [a-z0-9_]+. */
  readonly name: string;
  /** One sentence, printed by print.ts above the kernel. */
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
}
