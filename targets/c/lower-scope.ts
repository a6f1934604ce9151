/**
 * What a function under way knows: the C text of every value so far, the names that are taken, and what still waits for its only use.
 * Scalars and pointers, and the vectors that are registers, are expressions here; vectors of lanes are lower-lanes.ts's.
 */
import { internal, required } from "../../compiler/errors.ts";
import type { Kernel, Let, Parameter, Value } from "../../compiler/kernel/ir.ts";
import { countUses, memory, nothing, readsOf, Waiting, type Expression, type Uses } from "./expressions.ts";
import type { VariableLowering } from "./lower-vectors.ts";
import { Names } from "./names.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { brokenLine } from "./line-breaks.ts";
import type { CWriter } from "./writer.ts";

/** Longer expressions get a name, for the reader. */
export const longestInline = 72;

/** What writes C later than it is told to. */
export interface Deferred {
  /** Gives names to what reads something that is about to change. */
  flush(changes: (read: string) => boolean): void;
  /** Writes everything, because the block ends or another begins. */
  settle(): void;
}

export class FunctionScope implements VariableLowering {
  readonly vocabulary: Vocabulary;
  readonly names: Names;
  readonly #writer: CWriter;
  readonly #uses: ReadonlyMap<number, Uses>;
  readonly #waiting = new Waiting<Expression>();
  /** What stands for a value that has a name or is a literal. */
  readonly #known = new Map<number, Expression>();
  readonly #variables = new Map<number, string>();
  /** The parameter that a pointer leads to. */
  readonly #roots = new Map<number, Parameter>();
  #deferred: Deferred | null = null;

  constructor(kernel: Kernel, vocabulary: Vocabulary, writer: CWriter) {
    this.vocabulary = vocabulary;
    this.#writer = writer;
    this.names = new Names(kernel.parameters.map(({ name }) => name));
    this.#uses = countUses(kernel);
    for (const parameter of kernel.parameters) {
      const { name, value } = parameter;
      this.know(value, { text: name, isSimple: true, reads: nothing, isNatural: value.type.element === "i32" });
      if (value.type.element === "ptr") this.#roots.set(value.id, parameter);
    }
  }

  /** Has another part of the lowering asked whenever something changes or a block ends. */
  defer(deferred: Deferred): void {
    this.#deferred = deferred;
  }

  /** Writes a statement, broken where it is long. */
  line(text: string): void {
    for (const line of brokenLine(text)) this.#writer.line(line);
  }

  /** Writes `head { … }`, or an `if` with its `else`. Bodies settle before they end. */
  block(head: string, body: () => void, otherwise?: () => void): void {
    this.settle();
    this.#writer.block(head, () => {
      body();
      if (!otherwise) return;
      this.#writer.turn("else");
      otherwise();
    });
  }

  /** Writes what was put off. */
  settle(): void {
    this.#deferred?.settle();
  }

  /** Has a value stand for an expression wherever it is used. */
  know(value: Value, expression: Expression): void {
    this.#known.set(value.id, expression);
  }

  usesOf({ id }: Value): Uses {
    return this.#uses.get(id) ?? { count: 0, isSingle: false };
  }

  /** The text of an operand; what was waiting for this use is written here. */
  use(value: Value): Expression {
    return this.#known.get(value.id) ?? this.#waiting.take(value);
  }

  /** A value that is to be used later than where it waits for: under a name. */
  useNamed(value: Value, name: string): Expression {
    if (this.#waiting.has(value)) this.name(value, this.#waiting.take(value), name);
    return this.use(value);
  }

  /** Keeps an expression for its only use, or names it. */
  define(value: Value, expression: Expression, stem: string): void {
    if (this.usesOf(value).isSingle && expression.text.length <= longestInline) this.#waiting.add(value, expression);
    else this.name(value, expression, stem);
  }

  /** Gives an expression a name. */
  name(value: Value, expression: Expression, stem: string): void {
    const name = this.names.numbered(stem);
    const constant = value.type.element === "ptr" ? "" : "const ";
    this.line(`${constant}${this.#declarator(value, name)} = ${expression.text};`);
    this.know(value, { text: name, isSimple: true, reads: nothing, isNatural: expression.isNatural });
  }

  /** Gives names to what reads something that is about to change. */
  flush(changes: (read: string) => boolean): void {
    for (const { value, expression } of this.#waiting.takeReaders(changes)) this.name(value, expression, "value");
    this.#deferred?.flush(changes);
  }

  declare(name: string, initial: Value): void {
    this.line(`${this.#declarator(initial, name)} = ${this.use(initial).text};`);
  }

  assign(name: string, value: Value): void {
    const { text } = this.use(value);
    this.flush((read) => read === name);
    this.line(`${name} = ${text};`);
  }

  read(result: Value, name: string): void {
    this.define(result, { text: name, isSimple: true, reads: new Set([name]), isNatural: false }, name);
  }

  /** `float x`, or `const unsigned char *x`. */
  #declarator(value: Value, name: string): string {
    if (value.type.element !== "ptr") return `${this.vocabulary.type(value.type)} ${name}`;
    return `${this.root(value).access === "read" ? "const " : ""}unsigned char *${name}`;
  }

  /** The parameter that a pointer leads to. */
  root({ id }: Value): Parameter {
    return required(this.#roots.get(id), "parameter of a pointer");
  }

  /** What a variable, by its number, is called. */
  variable(id: number): string {
    return required(this.#variables.get(id), `variable @${id}`);
  }

  nameVariable(id: number, name: string): void {
    this.#variables.set(id, name);
  }

  /** Has a value, or a variable by its number, lead where another does; of what is no pointer nothing is known. */
  inheritRoot(to: number, from: number): void {
    const root = this.#roots.get(from);
    if (root) this.#roots.set(to, root);
  }

  /** pointer + index + offset, as an argument. */
  place(pointer: Value, index: Value, offset: number): Expression {
    const [base, at] = [this.use(pointer), this.use(index)];
    const term = at.isSimple || at.isNatural ? at.text : `(${at.text})`;
    const terms = [base.text, ...(at.text === "0" ? [] : [term]), ...(offset === 0 ? [] : [offset])];
    return { text: terms.join(" + "), isSimple: false, reads: readsOf([base, at]), isNatural: false };
  }

  /** Where a load reads, the parameter behind it, and what must not change before it is done. */
  source({ op, args, immediates }: Let): { readonly place: string; readonly root: Parameter; readonly reads: ReadonlySet<string> } {
    const [pointer, index] = args;
    if (!pointer || !index) return internal(`${op} without a place`);
    const root = this.root(pointer);
    const { text, reads } = this.place(pointer, index, immediates[0] ?? 0);
    return { place: text, root, reads: new Set([...reads, ...(root.access === "read" ? [] : [memory])]) };
  }
}
