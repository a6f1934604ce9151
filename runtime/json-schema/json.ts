/**
 * JSON as a grammar: compact or laid out by lines, with so little blank space that none of it can go on without end. Numbers have at most
 * 15 digits and two of an exponent; characters are escaped only where they must be.
 */
import { everyCharacter, except, jsonCharacter, jsonText } from "./characters.ts";
import { type Item, byteRange, choice, empty, literal, literals, never, optional, repeat, rule, sequence } from "./items.ts";

const quote = literal('"');
const comma = literal(",");
const colon = sequence(literal(":"), optional(literal(" ")));
/** Between the parts of an object or an array: nothing, a space, or a new line with its indent. */
const gap = choice(empty, literal(" "), sequence(literal("\n"), repeat(literals([" ", "\t"]), 0, 20)));
const digit = byteRange(0x30, 0x39);
const whole = choice(literal("0"), sequence(byteRange(0x31, 0x39), repeat(digit, 0, 14)));

/** No "-0", which is no integer to many. */
export const anyInteger = choice(literal("0"), sequence(optional(literal("-")), byteRange(0x31, 0x39), repeat(digit, 0, 14)));

export const anyNumber = sequence(
  optional(literal("-")),
  whole,
  optional(sequence(literal("."), repeat(digit, 1, 15))),
  optional(sequence(literals(["e", "E"]), optional(literals(["+", "-"])), repeat(digit, 1, 2))),
);

/** A string of `min` to `max` characters. */
export function stringOf(min: number, max: number): Item {
  return sequence(quote, repeat(anyCharacter, min, max), quote);
}

const anyCharacter = jsonCharacter(everyCharacter);

/** `content` with quotes round it. */
export function quoted(content: Item): Item {
  return sequence(quote, content, quote);
}

export interface Property {
  readonly key: string;
  readonly value: Item;
  readonly isRequired: boolean;
}

/** Values under keys that are not listed; how many of them there may be. */
export interface MoreProperties {
  readonly value: Item;
  readonly min: number;
  readonly max: number;
}

/** An object with its properties in their order, then others. */
export function objectOf(properties: readonly Property[], more: MoreProperties): Item {
  const other = more.max > 0 ? pair(otherKey(properties.map(({ key }) => key)), more.value) : never;
  // The properties from the one at hand to the last: after others, or as the object's first.
  let later = repeat(sequence(comma, other), more.min, more.max);
  let first = list(other, more.min, more.max);
  for (const { key, value, isRequired } of properties.toReversed()) {
    const next = pair(jsonText(key), value);
    const here = sequence(next, later);
    first = isRequired ? here : choice(here, first);
    later = isRequired ? sequence(comma, here) : choice(sequence(comma, here), later);
  }
  return sequence(literal("{"), first, gap, literal("}"));
}

/** An array that begins with `prefix`, then has `rest`; at least `min` and at most `max` items in all. */
export function arrayOf(prefix: readonly Item[], rest: Item, min: number, max: number): Item {
  if (min > max) return never;
  const count = Math.min(prefix.length, max);
  const more = sequence(gap, rest);
  let items: Item = count === 0 ? list(more, min, max) : repeat(sequence(comma, more), Math.max(0, min - count), max - count);
  for (let at = count - 1; at >= 0; at--) {
    const here = sequence(...(at > 0 ? [comma] : []), gap, prefix[at] ?? never, items);
    items = at < min ? here : optional(here);
  }
  return sequence(literal("["), items, gap, literal("]"));
}

/** Items with commas between them. */
function list(item: Item, min: number, max: number): Item {
  if (max <= 0) return min > 0 ? never : empty;
  const items = sequence(item, repeat(sequence(comma, item), Math.max(0, min - 1), max - 1));
  return min > 0 ? items : optional(items);
}

function pair(key: Item, value: Item): Item {
  return sequence(gap, key, colon, value);
}

interface KeyNode {
  readonly children: Map<string, KeyNode>;
  isKey: boolean;
}

/** A string that is none of `keys`. */
function otherKey(keys: readonly string[]): Item {
  const root: KeyNode = { children: new Map(), isKey: false };
  for (const key of keys) {
    let node = root;
    for (const character of key) {
      const next = node.children.get(character) ?? { children: new Map(), isKey: false };
      node.children.set(character, next);
      node = next;
    }
    node.isKey = true;
  }
  return quoted(otherThan(root));
}

function otherThan(node: KeyNode): Item {
  const codes = [...node.children.keys()].map((character) => character.codePointAt(0) ?? 0);
  const differs = sequence(jsonCharacter(except(codes.map((code) => [code, code]))), repeat(anyCharacter, 0, Infinity));
  const longer = [...node.children].map(([character, next]) => sequence(literal(JSON.stringify(character).slice(1, -1)), otherThan(next)));
  return choice(...(node.isKey ? [] : [empty]), differs, ...longer);
}

/** Any JSON value. */
export const anyValue: Item = rule(() => everyValue);
export const anyObject = objectOf([], { value: anyValue, min: 0, max: Infinity });
export const anyArray = arrayOf([], anyValue, 0, Infinity);
const everyValue = choice(literals(["null", "true", "false"]), anyNumber, stringOf(0, Infinity), anyObject, anyArray);
