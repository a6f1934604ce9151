/**
 * Vectors as functions of a lane: one scalar for all lanes, a call that gives the whole, or an expression for each. This file knows what every
 * value is so far, and gives names: scalars before the loop under way, arrays and lanes in it.
 */
import type { Type, Value } from "../../compiler/kernel/ir.ts";
import { isAtom, nothing, Waiting, type Reading } from "./expressions.ts";
import { LaneLoop, type LaneName, type LaneStatement } from "./lane-loop.ts";
import { longestInline, type Deferred, type FunctionScope } from "./lower-scope.ts";
import { elementType } from "./types.ts";

interface Vector extends Reading {
  readonly type: Type;
  /** What it is called if it needs a name. */
  readonly stem: string;
}

/** One scalar for all lanes. */
export interface Uniform extends Vector {
  readonly kind: "uniform";
  readonly text: string;
  /** Of a comparison: its condition. */
  readonly test?: (i: string) => string;
}

/** A call that gives the whole. */
export interface Whole extends Vector {
  readonly kind: "whole";
  readonly text: string;
  readonly test?: never;
}

/** An expression for each lane. */
export interface Each extends Vector {
  readonly kind: "each";
  readonly at: (i: string) => string;
  /** Of a comparison: its condition. */
  readonly test?: (i: string) => string;
  readonly name?: LaneName;
  /** Arrays of which lane i reads lane i, and of which it reads others. */
  readonly own: ReadonlySet<string>;
  readonly other: ReadonlySet<string>;
}

/** An array and nothing else. */
export interface Named extends Each {
  readonly name: LaneName;
}

export type Lanes = Uniform | Whole | Each;

/** What a loop may read lane by lane. */
export type Readable = Uniform | Each;

/** Longer expressions are not written once for each of several lanes. */
const longestRepeated = 32;
const longestOfIndex = 10;

export class LaneValues implements Deferred {
  readonly #scope: FunctionScope;
  readonly #loop: LaneLoop;
  readonly #known = new Map<number, Lanes>();
  readonly #waiting = new Waiting<Lanes>();
  readonly #usesTaken = new Map<number, number>();
  /** The values that have names. */
  readonly #values = new Map<LaneName, Value>();
  /** What the statement under way has taken and not yet used. */
  readonly #inHand = new Set<Lanes>();

  constructor(scope: FunctionScope) {
    this.#scope = scope;
    this.#loop = new LaneLoop(scope);
    scope.defer(this);
  }

  /** Lowers one statement; what it holds in its hands is used by itself at the latest. */
  during<T>(body: () => T): T {
    this.#inHand.clear();
    const result = body();
    this.#inHand.clear();
    return result;
  }

  /** An operand; what was waiting for this use is used here. */
  take(value: Value): Lanes {
    this.#usesTaken.set(value.id, (this.#usesTaken.get(value.id) ?? 0) + 1);
    return this.#hold(this.#known.get(value.id) ?? this.#waiting.take(value));
  }

  #hold<T extends Lanes>(lanes: T): T {
    this.#inHand.add(lanes);
    return lanes;
  }

  /** Keeps a vector for its only use, or names it. */
  define(value: Value, lanes: Lanes): void {
    const text = lanes.kind === "each" ? this.#loop.preview(lanes.at) : lanes.text;
    if (isFixed(lanes)) this.#known.set(value.id, lanes);
    else if (this.#scope.usesOf(value).isSingle && text.length <= longestInline) this.#waiting.add(value, lanes);
    else this.#name(value, lanes);
  }

  #name(value: Value, lanes: Lanes): void {
    const named = this.readable(lanes.kind === "each" ? this.#array(lanes) : lanes);
    if (named.kind === "each" && named.name) this.#values.set(named.name, value);
    this.#known.set(value.id, named);
  }

  /** The vector under a name of its own. */
  #array(lanes: Whole | Each): Named {
    const { type, stem, kind } = lanes;
    const name = { text: this.#scope.names.numbered(stem), isArray: true };
    if (kind === "whole") this.#scope.line(`const ${this.#scope.vocabulary.type(type)} ${name.text} = ${lanes.text};`);
    else this.#add({ kind: "value", name, type, text: lanes.at, reads: namesIn(lanes), other: lanes.other });
    this.#inHand.delete(lanes);
    return this.#hold(arrayOf(name, type, stem, nothing));
  }

  /** The vector as a loop may read it: neither memory nor work that is the same for all lanes is left in it. */
  readable(lanes: Lanes): Readable {
    if (lanes.kind === "whole") return this.#array(lanes);
    if (lanes.kind === "each" || isFixed(lanes)) return lanes;
    const text = this.#scope.names.numbered(lanes.stem);
    this.#scope.line(`const ${elementType(lanes.type.element)} ${text} = ${lanes.text};`);
    return { kind: "uniform", type: lanes.type, stem: lanes.stem, text, reads: nothing };
  }

  /** The same as other lanes than a loop's own are read: long expressions become arrays, and all do that are `shared`. */
  spread(lanes: Lanes, isShared: boolean): Readable {
    const readable = this.readable(lanes);
    if (readable.kind === "uniform" || readable.name) return readable;
    return !isShared && this.#loop.preview(readable.at).length <= longestRepeated ? readable : this.#array(readable);
  }

  /** A C expression of the whole vector. */
  whole(lanes: Lanes): string {
    const { type, kind } = lanes;
    if (kind === "whole") return lanes.text;
    if (kind === "uniform") {
      const scalar = { element: type.element, lanes: 1 };
      const splat = this.#scope.vocabulary.function({ op: "splat", operands: [scalar], immediates: [type.lanes], result: type });
      return `${splat}(${lanes.text})`;
    }
    const { text } = lanes.name ?? this.#array(lanes).name;
    if (this.#loop.sets([text])) this.settle();
    return text;
  }

  /** One lane, for use outside of the loop under way. */
  lane(lanes: Readable, index: number): string {
    if (this.#loop.sets(namesIn(lanes))) this.settle();
    return laneOf(lanes, String(index));
  }

  /** Sets a variable in the loop under way. */
  set(kind: "declare" | "assign", text: string, lanes: Lanes): void {
    if (lanes.kind === "whole") {
      this.settle();
      this.#scope.line(`${kind === "declare" ? `${this.#scope.vocabulary.type(lanes.type)} ` : ""}${text} = ${lanes.text};`);
      return;
    }
    // Every lane must see the variable as it was.
    const stable = lanes.kind === "each" && lanes.other.has(text) ? this.#array(lanes) : this.readable(lanes);
    const other = stable.kind === "each" ? stable.other : nothing;
    const name = { text, isArray: true };
    this.#add({ kind, name, type: lanes.type, text: (i) => laneOf(stable, i), reads: namesIn(stable), other });
  }

  #add(statement: LaneStatement): void {
    if (!this.#loop.accepts(statement)) this.settle();
    this.#loop.add(statement);
  }

  flush(changes: (read: string) => boolean): void {
    const readers = this.#waiting.takeReaders(changes);
    for (const { expression } of readers) this.#hold(expression);
    for (const { value, expression } of readers) this.#name(value, expression);
  }

  settle(): void {
    const unwritten = new Set([...this.#waiting.expressions(), ...this.#inHand].flatMap((lanes) => [...namesIn(lanes)]));
    this.#loop.write((name) => {
      const value = this.#values.get(name);
      const isLeft = value !== undefined && (this.#usesTaken.get(value.id) ?? 0) < this.#scope.usesOf(value).count;
      return isLeft || unwritten.has(name.text);
    });
  }
}

/** An array's lanes; `reads` holds its name where it is a variable. */
export function arrayOf(name: LaneName, type: Type, stem: string, reads: ReadonlySet<string>): Named {
  const at = (i: string): string => (name.isArray ? `${name.text}.lane[${i}]` : name.text);
  return { kind: "each", type, stem, at, name, reads, own: new Set([name.text]), other: nothing };
}

/** A name or a number that stays as it is, or what comes of the index alone: as short as a name for it would be. */
function isFixed(lanes: Lanes): boolean {
  if (lanes.kind === "each") return namesIn(lanes).size === 0 && lanes.at("i").length <= longestOfIndex;
  return lanes.kind === "uniform" && isAtom(lanes.text) && lanes.reads.size === 0;
}

/** The text of a lane. */
export function laneOf(lanes: Lanes, i: string): string {
  return lanes.kind === "each" ? lanes.at(i) : lanes.text;
}

/** Arrays that an expression reads. */
function namesIn(lanes: Lanes): ReadonlySet<string> {
  return lanes.kind === "each" ? new Set([...lanes.own, ...lanes.other]) : nothing;
}
