/**
 * Follows a grammar byte by byte. A state is the set of all ways in which the bytes so far can be read, each a stack of the items that are
 * still to come. Every state can be completed: alternatives that no bytes fit are left out from the beginning, so no choice ends in a dead
 * end. States and the steps between them are kept, so that what comes up again costs one look-up a byte.
 */
import { LfmcError } from "../index.ts";
import { type Item, empty, misfits, repeat } from "./items.ts";

/** States kept before all are forgotten: a few megabytes. */
const mostStates = 8192;
/** Ways to read the same bytes, and what is looked at to find them; more are a grammar that nobody means. */
const mostWays = 2000;
const mostStacks = 20_000;

/** Items still to come, the first on top. Equal stacks are one object. */
class Stack {
  readonly item: Item;
  /** What comes after the item; null for the bottom, where everything has come. */
  readonly next: Stack | null;
  readonly id: number;
  /** The same with counts cut to what one token can tell apart. */
  readonly short: Stack;
  readonly #above = new Map<Item, Stack>();
  static #count = 0;

  constructor(item: Item, next: Stack | null, longest: number) {
    this.item = item;
    this.next = next;
    this.id = Stack.#count++;
    const shortItem = shortened(item, longest);
    const isShort = shortItem === item && next?.short === next;
    this.short = next === null || isShort ? this : next.short.push(shortItem, longest);
  }

  push(item: Item, longest: number): Stack {
    if (item === empty) return this;
    const stack = this.#above.get(item) ?? new Stack(item, this, longest);
    this.#above.set(item, stack);
    return stack;
  }
}

/** A repetition takes a byte or more each time: further counts than a token has bytes make no difference to the token. */
function shortened(item: Item, longest: number): Item {
  if (item.kind !== "repeat") return item;
  const min = Math.min(item.min, longest);
  const max = item.max >= longest ? Infinity : item.max;
  return min === item.min && max === item.max ? item : repeat(item.item, min, max);
}

export class State {
  readonly stacks: readonly Stack[];
  /** Whether the bytes so far are complete. */
  readonly isComplete: boolean;
  /** By byte; null where it may not come. */
  readonly next: (State | null)[] = [];
  /** Room for what follows from the state alone. */
  mask: Uint32Array | null = null;

  constructor(stacks: readonly Stack[]) {
    this.stacks = stacks;
    this.isComplete = stacks.some(({ next }) => next === null);
  }
}

export class Automaton {
  readonly #root: Item;
  readonly #misfits: ReadonlySet<Item>;
  readonly #longest: number;
  #states = new Map<string, State>();
  #initial: State;

  /** `longest`: bytes of the longest token. Throws `run/input` where nothing fits the grammar. */
  constructor(root: Item, longest: number) {
    this.#root = root;
    this.#longest = longest;
    this.#misfits = misfits(root);
    if (this.#misfits.has(root))
      throw new LfmcError("run/input", "nothing can fit it", { subject: "schema", hint: "Look for assertions that exclude each other." });
    this.#initial = this.#begin();
  }

  /** Where nothing has come yet. Another one where states had to be forgotten: those that came of the old one stay valid. */
  initial(): State {
    if (this.#states.size > mostStates) {
      this.#states = new Map();
      this.#initial = this.#begin();
    }
    return this.#initial;
  }

  /** The state after `byte`, null where it may not come. */
  step(state: State, byte: number): State | null {
    const known = state.next[byte];
    if (known !== undefined) return known;
    const reached: Stack[] = [];
    for (const { item, next } of state.stacks) {
      if (item.kind !== "terminal" || next === null) continue;
      const rest = item.step(byte);
      if (rest !== null) reached.push(next.push(rest, this.#longest));
    }
    const found = reached.length === 0 ? null : this.#settle(reached);
    state.next[byte] = found;
    return found;
  }

  /** A state that allows the same tokens, and is the same for many. */
  short(state: State): State {
    return this.#stateOf(new Set(state.stacks.map(({ short }) => short)));
  }

  #begin(): State {
    const bottom = new Stack(empty, null, this.#longest);
    return this.#settle([bottom.push(this.#root, this.#longest)]);
  }

  /** The state in which the tops of `stacks` are resolved down to terminals. */
  #settle(stacks: readonly Stack[]): State {
    const seen = new Set<Stack>(stacks);
    const tops = new Set<Stack>();
    const push = (stack: Stack): void => void seen.add(stack);
    for (const stack of seen) {
      const { item, next } = stack;
      if (next === null || item.kind === "terminal") tops.add(stack);
      else this.#resolve(item, next, push);
      if (tops.size > mostWays || seen.size > mostStacks)
        throw new LfmcError("run/input", `can be read in more than ${mostWays} ways at once`, {
          subject: "schema",
          hint: "Give alternatives that differ early.",
        });
    }
    return this.#stateOf(tops);
  }

  #resolve(item: Exclude<Item, { kind: "terminal" }>, next: Stack, push: (stack: Stack) => void): void {
    const longest = this.#longest;
    switch (item.kind) {
      case "sequence":
        push(item.items.reduceRight((stack, part) => stack.push(part, longest), next));
        break;
      case "choice":
        for (const part of item.items) if (!this.#misfits.has(part)) push(next.push(part, longest));
        break;
      case "repeat":
        if (item.min === 0) push(next);
        if (item.max > 0 && !this.#misfits.has(item.item))
          push(next.push(repeat(item.item, Math.max(0, item.min - 1), item.max - 1), longest).push(item.item, longest));
        break;
      case "rule":
        push(next.push(item.resolve(), longest));
        break;
    }
  }

  #stateOf(stacks: ReadonlySet<Stack>): State {
    const key = Array.from(stacks, ({ id }) => id)
      .sort((a, b) => a - b)
      .join();
    const state = this.#states.get(key) ?? new State([...stacks]);
    this.#states.set(key, state);
    return state;
  }
}
