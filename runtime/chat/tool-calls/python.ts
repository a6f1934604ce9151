/**
 * Calls as Python writes them, `[get_weather(city="Paris", days=3)]`, and as JSON does, `{"name": …, "arguments": {…}}`: one parser,
 * as Python's literals hold JSON's. Models escape badly, so a quote ends a string only where something can follow that. Linear in the
 * text's length.
 */
import type { Tool, ToolCall } from "../messages.ts";
import { type Json, type JsonObject, deepest, isJsonObject, parseJson } from "../../json.ts";

/** Tells that the text is no call; caught in this file. */
class Malformed extends Error {}

/**
 * The calls of a text: a list of calls or of objects, or one without a list. null where it is none. Arguments without names get those
 * of the tool's schema.
 */
export function parseMixed(text: string, tools: readonly Tool[]): readonly ToolCall[] | null {
  try {
    return new Parser(text, tools).calls();
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

/** Calls as a Python list; nothing in it looks like a marker. */
export function writePython(calls: readonly ToolCall[]): string {
  return `[${calls.map(({ name, arguments: given }) => `${name}(${writeArguments(given)})`).join(", ")}]`;
}

function writeArguments(given: JsonObject): string {
  const entries = Object.entries(given);
  if (!entries.every(([name]) => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name))) return `**${writeValue(given)}`;
  return entries.map(([name, value]) => `${name}=${writeValue(value)}`).join(", ");
}

function writeValue(value: Json): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return JSON.stringify(value).replaceAll("<", "\\u003c");
  if (isJsonObject(value)) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${writeValue(key)}: ${writeValue(item)}`)
      .join(", ")}}`;
  }
  return `[${value.map((item) => writeValue(item)).join(", ")}]`;
}

const escapes: ReadonlyMap<string, string> = new Map([
  ...["\\\\", "''", '""', "//", "n\n", "t\t", "r\r", "b\b", "f\f", "v\v", "a\x07", "0\0"].map(
    (pair) => [pair.charAt(0), pair.charAt(1)] as const,
  ),
  ["\n", ""],
]);
/** How many hexadecimal digits follow. */
const codes: ReadonlyMap<string, number> = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
]);
const constants: ReadonlyMap<string, Json> = new Map<string, Json>([
  ["True", true],
  ["False", false],
  ["None", null],
  ["true", true],
  ["false", false],
  ["null", null],
]);

class Parser {
  readonly #text: string;
  readonly #tools: readonly Tool[];
  #at = 0;

  constructor(text: string, tools: readonly Tool[]) {
    this.#text = text;
    this.#tools = tools;
  }

  calls(): readonly ToolCall[] {
    const calls = this.#skip("[") ? this.#items("]", () => this.#call()) : [this.#call()];
    this.#space();
    if (this.#at < this.#text.length || calls.length === 0) throw new Malformed();
    return calls;
  }

  #call(): ToolCall {
    this.#space();
    if (this.#text[this.#at] === "{") return this.#objectCall();
    const name = this.#match(/[\p{L}_][\p{L}\p{N}_]*(?:[.\-/][\p{L}\p{N}_]+)*/uy);
    this.#expect("(");
    const order = this.#parameters(name);
    const given = new Map<string, Json>();
    this.#items(")", () => {
      if (this.#skip("*")) {
        this.#expect("*");
        this.#expect("{");
        for (const [key, value] of Object.entries(this.#dictionary(0))) given.set(key, value);
        return;
      }
      const key = this.#tryMatch(/([\p{L}_][\p{L}\p{N}_]*)\s*=/uy) ?? order[given.size];
      if (key === undefined || given.has(key)) throw new Malformed();
      given.set(key, this.#value(0));
    });
    return { name, arguments: objectOf(given) };
  }

  /** `{"name": …, "arguments": {…}}`; the arguments may be the text of an object. */
  #objectCall(): ToolCall {
    const value = this.#value(0);
    const call = isJsonObject(value) && isJsonObject(value.function) ? value.function : value;
    if (!isJsonObject(call) || typeof call.name !== "string") throw new Malformed();
    const given = call.arguments ?? call.parameters ?? {};
    const parsed = typeof given === "string" ? parseJson(given) : given;
    if (!isJsonObject(parsed)) throw new Malformed();
    return { name: call.name, arguments: parsed };
  }

  #parameters(name: string): readonly string[] {
    const properties = this.#tools.find((tool) => tool.function.name === name)?.function.parameters?.properties;
    return isJsonObject(properties) ? Object.keys(properties) : [];
  }

  #value(depth: number): Json {
    if (depth > deepest) throw new Malformed();
    this.#space();
    const first = this.#text[this.#at] ?? "";
    if (first === '"' || first === "'") return this.#string(first);
    if (this.#skip("[")) return this.#items("]", () => this.#value(depth + 1));
    if (this.#skip("{")) return this.#dictionary(depth);
    if (this.#skip("(")) return this.#tuple(depth);
    const word = this.#tryMatch(/([\p{L}_][\p{L}\p{N}_]*)/uy);
    if (word === null) return this.#number();
    const constant = constants.get(word);
    if (constant === undefined) throw new Malformed();
    return constant;
  }

  #dictionary(depth: number): JsonObject {
    const entries = this.#items("}", () => {
      const key = this.#value(deepest);
      this.#expect(":");
      return [typeof key === "string" ? key : JSON.stringify(key), this.#value(depth + 1)] as const;
    });
    return objectOf(new Map(entries));
  }

  /** A value in parentheses, or a tuple, which has a comma. */
  #tuple(depth: number): Json {
    const items = this.#items(")", () => this.#value(depth + 1));
    const [only] = items;
    const isTuple = this.#text
      .slice(0, this.#at - 1)
      .trimEnd()
      .endsWith(",");
    return items.length === 1 && only !== undefined && !isTuple ? only : items;
  }

  #number(): number {
    const text = this.#match(/[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?/y);
    const value = Number(text.replaceAll("_", ""));
    if (!Number.isFinite(value)) throw new Malformed();
    return value;
  }

  #string(quote: string): string {
    const close = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    this.#at += close.length;
    let value = "";
    for (;;) {
      const plain = this.#match(/[^"'\\]*/y);
      const next = this.#text[this.#at];
      if (next === undefined) throw new Malformed();
      value += plain;
      if (next === "\\") value += this.#escape();
      else if (this.#text.startsWith(close, this.#at) && this.#canFollow(this.#at + close.length)) {
        this.#at += close.length;
        return value;
      } else {
        value += next;
        this.#at++;
      }
    }
  }

  /** Whether a string can end before `at`: whether what comes next can follow one. */
  #canFollow(at: number): boolean {
    const space = /\s*/y;
    space.lastIndex = at;
    space.test(this.#text);
    const next = this.#text[space.lastIndex];
    return next === undefined || ",)]}:".includes(next);
  }

  /** What a backslash and what follows it stand for; an unknown escape stands for itself. */
  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? "";
    const digits = codes.get(letter);
    if (digits !== undefined) {
      const code = this.#text.slice(this.#at + 2, this.#at + 2 + digits);
      const point = /^[0-9a-f]+$/i.test(code) && code.length === digits ? parseInt(code, 16) : Infinity;
      if (point > 0x10ffff) throw new Malformed();
      this.#at += 2 + digits;
      return String.fromCodePoint(point);
    }
    this.#at += 1 + letter.length;
    return escapes.get(letter) ?? `\\${letter}`;
  }

  /** Items between commas, the last of which may be followed by one, and `close`. */
  #items<Item>(close: string, item: () => Item): readonly Item[] {
    const items: Item[] = [];
    for (;;) {
      if (this.#skip(close)) return items;
      items.push(item());
      if (this.#skip(",")) continue;
      this.#expect(close);
      return items;
    }
  }

  #space(): void {
    this.#match(/\s*/y);
  }

  #skip(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#skip(character)) throw new Malformed();
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) throw new Malformed();
    this.#at = pattern.lastIndex;
    return found[0];
  }

  /** The pattern's first group, or null where it is not met. */
  #tryMatch(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) return null;
    this.#at = pattern.lastIndex;
    return found[1] ?? null;
  }
}

/** An object with these entries as its own, `__proto__` among them. */
function objectOf(entries: ReadonlyMap<string, Json>): JsonObject {
  return Object.fromEntries(entries);
}
