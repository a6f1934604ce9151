/**
 * Grammars over bytes: what may come is an item, made of terminals by sequence, choice and repetition; rules let it hold itself. A terminal
 * takes one byte and leaves an item. Items are immutable and compared by identity; `repeat` gives the same item for the same counts, so
 * that an automaton meets the states that it knows.
 */

export type Item = Terminal | Sequence | Choice | Repeat | Rule;

export interface Terminal {
  readonly kind: "terminal";
  /** What is left after `byte`, null where it may not come. */
  readonly step: (byte: number) => Item | null;
}

export interface Sequence {
  readonly kind: "sequence";
  readonly items: readonly Item[];
}

export interface Choice {
  readonly kind: "choice";
  readonly items: readonly Item[];
}

/** `min` to `max` times; `max` may be Infinity. */
export interface Repeat {
  readonly kind: "repeat";
  readonly item: Item;
  readonly min: number;
  readonly max: number;
}

/** An item that is known once the whole grammar is. */
export interface Rule {
  readonly kind: "rule";
  readonly resolve: () => Item;
}

/** Nothing: what is left of an item that is complete. */
export const empty: Item = { kind: "sequence", items: [] };

/** What no bytes fit. */
export const never: Item = { kind: "choice", items: [] };

export function sequence(...items: readonly Item[]): Item {
  return { kind: "sequence", items };
}

export function choice(...items: readonly Item[]): Item {
  return { kind: "choice", items };
}

export function optional(item: Item): Item {
  return choice(empty, item);
}

export function rule(resolve: () => Item): Item {
  return { kind: "rule", resolve };
}

/** Of one item that are kept: one that was forgotten costs another state where it comes again. */
const mostRepeats = 2 ** 14;
const repeats = new WeakMap<Item, Map<string, Repeat>>();

export function repeat(item: Item, min: number, max: number): Item {
  const known = repeats.get(item) ?? new Map<string, Repeat>();
  repeats.set(item, known);
  const key = `${min},${max}`;
  const found = known.get(key) ?? { kind: "repeat", item, min, max };
  // Items that every grammar has, such as a string's character, outlive it.
  if (known.size >= mostRepeats) known.clear();
  known.set(key, found);
  return found;
}

/** One byte from `first` to `last`. */
export function byteRange(first: number, last: number): Item {
  return { kind: "terminal", step: (byte) => (byte >= first && byte <= last ? empty : null) };
}

interface LiteralNode {
  readonly children: Map<number, LiteralNode>;
  isEnd: boolean;
}

/** One of the texts, as UTF-8; as many as there are, they are one state. */
export function literals(texts: Iterable<string>): Item {
  const encoder = new TextEncoder();
  const root: LiteralNode = { children: new Map(), isEnd: false };
  let any = false;
  for (const text of texts) {
    any = true;
    let node = root;
    for (const byte of encoder.encode(text)) {
      const next = node.children.get(byte) ?? { children: new Map(), isEnd: false };
      node.children.set(byte, next);
      node = next;
    }
    node.isEnd = true;
  }
  return any ? literalItem(root, new Map()) : never;
}

export function literal(text: string): Item {
  return literals([text]);
}

function literalItem(node: LiteralNode, known: Map<LiteralNode, Item>): Item {
  const found = known.get(node);
  if (found) return found;
  const step = (byte: number): Item | null => {
    const next = node.children.get(byte);
    return next ? literalItem(next, known) : null;
  };
  const terminal: Item = { kind: "terminal", step };
  const item = node.children.size === 0 ? empty : node.isEnd ? optional(terminal) : terminal;
  known.set(node, item);
  return item;
}

/** The items that no bytes fit, of all that `root` is made of: what holds itself without end, or a choice of nothing. */
export function misfits(root: Item): ReadonlySet<Item> {
  const users = new Map<Item, Item[]>([[root, []]]);
  for (const [item] of users)
    for (const part of partsOf(item)) {
      const known = users.get(part) ?? [];
      known.push(item);
      users.set(part, known);
    }
  const fits = new Set<Item>();
  const doubtful = [...users.keys()];
  for (let item = doubtful.pop(); item; item = doubtful.pop()) {
    if (fits.has(item) || !canFit(item, fits)) continue;
    fits.add(item);
    doubtful.push(...(users.get(item) ?? []));
  }
  return new Set([...users.keys()].filter((item) => !fits.has(item)));
}

function partsOf(item: Item): readonly Item[] {
  switch (item.kind) {
    case "terminal":
      return [];
    case "sequence":
    case "choice":
      return item.items;
    case "repeat":
      return [item.item];
    case "rule":
      return [item.resolve()];
  }
}

function canFit(item: Item, fits: ReadonlySet<Item>): boolean {
  switch (item.kind) {
    case "terminal":
      return true;
    case "sequence":
      return item.items.every((part) => fits.has(part));
    case "choice":
      return item.items.some((part) => fits.has(part));
    case "repeat":
      return item.min <= item.max && (item.min === 0 || fits.has(item.item));
    case "rule":
      return fits.has(item.resolve());
  }
}
