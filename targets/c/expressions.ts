/**
 * C text of values, and which values need no name of their own: those that are used once, in the block where they are made, before anything
 * that they read can change. They are written where they are used. This file keeps the ones that are still waiting for their use.
 */
import { internal } from "../../compiler/errors.ts";
import { operandsOf, type Kernel, type Statement, type Value } from "../../compiler/kernel/ir.ts";

/** What stands for a value in C. */
export interface Reading {
  /** What must not change before it is used: variables by name, and `memory`. */
  readonly reads: ReadonlySet<string>;
}

/** C text of a value, and how it may stand in other text. */
export interface Expression extends Reading {
  readonly text: string;
  /** A name, a literal or a call: needs no parentheses. */
  readonly isSimple: boolean;
  /** Of an i32 scalar: no less than 0 and too small to overflow, as loop indices, counts and what is made of them. */
  readonly isNatural: boolean;
}

export const memory = "memory";
export const nothing: ReadonlySet<string> = new Set();

/** All that some expressions read. */
export function readsOf(expressions: readonly Reading[]): ReadonlySet<string> {
  return new Set(expressions.flatMap(({ reads }) => [...reads]));
}

/** Whether a text is a name or a number. */
export function isAtom(text: string): boolean {
  return /^(?:-?[\d.]+(?:e[+-]?\d+)?f?|-?[A-Z]\w*|\w+)$/.test(text);
}

/** Whether a text is a name, a number, a lane, a call, or a cast of one: needs no parentheses beside an operator. */
export function isPrimary(text: string): boolean {
  if (isAtom(text)) return true;
  const rest = /^(?:\((?:u?int\d+_t|float)\))*[\w.]*(.*)$/.exec(text)?.[1] ?? "";
  let depth = 0;
  return [...rest].every((character) => {
    if ("([".includes(character)) depth++;
    else if (")]".includes(character)) depth--;
    else return depth > 0 || /[\w.]/.test(character);
    return true;
  });
}

/** How a value is used. */
export interface Uses {
  readonly count: number;
  /** Exactly once, in the very block that defines it. */
  readonly isSingle: boolean;
}

/** The uses of the values of a kernel; a value without uses has no row. */
export function countUses({ body }: Kernel): ReadonlyMap<number, Uses> {
  const definedIn = new Map<number, object>();
  const uses = new Map<number, { count: number; block: object }>();
  const visit = (block: readonly Statement[]): void => {
    for (const statement of block) {
      for (const { id } of operandsOf(statement)) {
        const known = uses.get(id);
        uses.set(id, { count: (known?.count ?? 0) + 1, block });
      }
      if (statement.kind === "let" || statement.kind === "read") definedIn.set(statement.result.id, block);
      if (statement.kind === "for") visit(statement.body);
      if (statement.kind === "if") {
        visit(statement.then);
        visit(statement.otherwise);
      }
    }
  };
  visit(body);
  return new Map([...uses].map(([id, { count, block }]) => [id, { count, isSingle: count === 1 && definedIn.get(id) === block }]));
}

/** What waits for its use, in the order in which it was made. */
export class Waiting<T extends Reading> {
  readonly #waiting = new Map<number, { readonly value: Value; readonly expression: T }>();

  add(value: Value, expression: T): void {
    this.#waiting.set(value.id, { value, expression });
  }

  has({ id }: Value): boolean {
    return this.#waiting.has(id);
  }

  /** All of it. */
  expressions(): readonly T[] {
    return [...this.#waiting.values()].map(({ expression }) => expression);
  }

  /** The expression, which waits no longer. */
  take({ id }: Value): T {
    const { expression } = this.#waiting.get(id) ?? internal(`%${id} is not waiting`);
    this.#waiting.delete(id);
    return expression;
  }

  /** All that read what is about to change, in order; they wait no longer. */
  takeReaders(changes: (read: string) => boolean): readonly { readonly value: Value; readonly expression: T }[] {
    const readers = [...this.#waiting.values()].filter(({ expression }) => [...expression.reads].some(changes));
    for (const { value } of readers) this.#waiting.delete(value.id);
    return readers;
  }
}
