/**
 * Changes to JSON that keep it JSON, mostly: a document as a tree whose leaves are text, so that it can say what JSON.stringify cannot: a
 * key twice, `__proto__`, numbers beyond all doubles, half a surrogate pair.
 */
import type { Random } from "../random.ts";
import { mutateBytes } from "./bytes.ts";

/** Keys are JSON strings in their quotes. */
type Tree = string | { readonly items: readonly Tree[] } | { readonly entries: readonly Entry[] };
type Entry = readonly [key: string, value: Tree];

/** The text of a JSON document after a few changes of its structure; now and then a few bytes are changed too. */
export function mutateJson(random: Random, text: string): Uint8Array {
  const bytes = new TextEncoder().encode(mutateJsonText(random, text));
  return random.chance(1, 10) ? mutateBytes(random, bytes) : bytes;
}

/** A JSON text after a few changes of its structure. */
export function mutateJsonText(random: Random, text: string): string {
  let tree = treeOf(JSON.parse(text));
  const pieces = piecesOf(tree);
  for (let left = random.few(); left > 0; left--) tree = changed(random, tree, pieces);
  return textOf(tree);
}

function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return { items: value.map(treeOf) };
  if (typeof value === "object" && value !== null)
    return { entries: Object.entries(value).map(([key, item]) => [JSON.stringify(key), treeOf(item)]) };
  return JSON.stringify(value);
}

function textOf(tree: Tree): string {
  if (typeof tree === "string") return tree;
  if ("items" in tree) return `[${tree.items.map(textOf).join(",")}]`;
  return `{${tree.entries.map(([key, value]) => `${key}:${textOf(value)}`).join(",")}}`;
}

/** Some of the document's own subtrees and keys, to be put in other places. */
interface Pieces {
  readonly trees: readonly Tree[];
  readonly keys: readonly string[];
}

function piecesOf(tree: Tree): Pieces {
  const [trees, keys]: [Tree[], string[]] = [[], []];
  const open: Tree[] = [tree];
  for (let node = open.pop(); node !== undefined && trees.length < 500; node = open.pop()) {
    trees.push(node);
    if (typeof node === "string") continue;
    if ("items" in node) open.push(...node.items.slice(0, 20));
    else {
      keys.push(...node.entries.map(([key]) => key).slice(0, 50));
      open.push(...node.entries.map(([, value]) => value).slice(0, 50));
    }
  }
  return { trees, keys };
}

/** The tree with one change somewhere: containers are entered more often than changed. */
function changed(random: Random, tree: Tree, pieces: Pieces): Tree {
  if (typeof tree === "string") return random.chance(1, 4) ? hostile(random, pieces) : changedLeaf(random, tree);
  const count = "items" in tree ? tree.items.length : tree.entries.length;
  if (count > 0 && random.chance(4, 5)) {
    const at = random.below(count);
    if ("items" in tree) return { items: tree.items.map((item, i) => (i === at ? changed(random, item, pieces) : item)) };
    return { entries: tree.entries.map(([key, value], i) => (i === at ? [key, changed(random, value, pieces)] : [key, value])) };
  }
  return "items" in tree
    ? { items: changedList(random, tree.items, () => hostile(random, pieces)) }
    : changedObject(random, tree.entries, pieces);
}

function changedObject(random: Random, entries: readonly Entry[], pieces: Pieces): Tree {
  if (random.chance(1, 12)) return hostile(random, pieces);
  const key = (): string => (random.chance(1, 2) && pieces.keys.length > 0 ? random.pick(pieces.keys) : random.pick(hostileKeys));
  if (entries.length > 0 && random.chance(1, 3)) {
    const at = random.below(entries.length);
    return { entries: entries.map(([own, value], i) => [i === at ? key() : own, value]) };
  }
  return { entries: changedList(random, entries, () => [key(), hostile(random, pieces)] as const) };
}

function changedList<Item>(random: Random, list: readonly Item[], make: () => Item): readonly Item[] {
  const at = random.below(list.length + 1);
  return random.one(
    () => list.toSpliced(at, 1),
    () => list.toSpliced(at, 1, make()),
    () => list.toSpliced(at, 0, make()),
    () => list.toSpliced(at, 0, ...list.slice(at, at + 1)),
    () => list.toReversed(),
    () => list.slice(0, at),
    () => (random.chance(1, 4) ? repeated(random, list[at] ?? make()) : list.slice(at)),
  );
}

/** What may be large is not repeated as often as a leaf. */
function repeated<Item>(random: Random, item: Item): readonly Item[] {
  return new Array<Item>(typeof item === "string" && item.length < 100 ? random.pick([20, 300, 2000]) : random.pick([3, 30])).fill(item);
}

function changedLeaf(random: Random, text: string): string {
  if (text.startsWith('"')) return changedString(random, text);
  const number = Number(text);
  if (!Number.isFinite(number)) return random.pick(["0", "true", '""']);
  return random.one(
    () => random.pick(hostileNumbers),
    () => JSON.stringify(number + random.pick([-1, 1, 0.5, 64, 65536])),
    () => JSON.stringify(number * random.pick([2, 3, -1, 0.5, 1024, 65536])),
    () => JSON.stringify(text),
  );
}

function changedString(random: Random, text: string): string {
  const value = String(JSON.parse(text));
  const at = random.below(value.length + 1);
  return random.one(
    () => JSON.stringify(value.slice(0, at) + random.pick(hostileCharacters) + value.slice(at)),
    () => JSON.stringify(value.slice(0, at)),
    () => JSON.stringify(value + value),
    () => JSON.stringify(value.toUpperCase()),
    () => `"${random.pick(["\\ud800", "\\udfff", "\\u0000", "\\u202e", "\\u001b[2J"])}${text.slice(1)}`,
    () => JSON.stringify(value.repeat(random.chance(1, 8) ? 1000 : 3)),
  );
}

function hostile(random: Random, { trees }: Pieces): Tree {
  return random.one<Tree>(
    () => random.pick(hostileNumbers),
    () => random.pick(hostileValues),
    () => random.pick(trees),
    () => ({ items: [random.pick(trees)] }),
    () => ({ entries: [[random.pick(hostileKeys), random.pick(trees)]] }),
    () => (random.chance(1, 8) ? nested(random) : "null"),
  );
}

function nested(random: Random): string {
  const depth = random.pick([30, 70, 300, 3000, 20_000]);
  return random.chance(1, 2) ? `${"[".repeat(depth)}${"]".repeat(depth)}` : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}

const hostileNumbers = [
  ...["0", "-0", "-1", "1", "2", "0.5", "1e-320", "1e308", "1e999", "-1e999", "255", "256", "65535", "65536", "1000000"],
  ...["2147483647", "2147483648", "4294967295", "4294967296", "1073741824", "9007199254740991", "9007199254740992", "18446744073709551615"],
];
const hostileValues = [
  ...[
    "null",
    "true",
    "false",
    "[]",
    "{}",
    '""',
    '"0"',
    '"\\ud800"',
    '"__proto__"',
    '"constructor"',
    '"../../x"',
    '"/etc/passwd"',
    '"\\u0000"',
  ],
  ...[
    '"lfm2"',
    '"conv"',
    '"\\u202e\\u001b[2J"',
    "[[]]",
    "[null]",
    '{"__proto__":{"polluted":1}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
  ],
];
const hostileKeys = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "toJSON",
  "then",
  "length",
  "",
  "0",
  "type",
]
  .map((key) => JSON.stringify(key))
  .concat('"\\ud800"', `"${"k".repeat(300)}"`);
const hostileCharacters = ["\0", "\n", "\u202e", "\ud800", "😀", "é", '"', "\\", "/", "..", "{{", "<|im_end|>", " ", "ﷺ"];
