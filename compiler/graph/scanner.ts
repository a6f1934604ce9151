/**
 * Reads one line of a graph's text from left to right. Blanks between tokens are skipped; every complaint says where it is.
 */
import { LfmcError } from "../errors.ts";

export class Scanner {
  readonly #text: string;
  readonly #line: number;
  #at = 0;

  /** `line` counts from 1. */
  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
  }

  /** Throws graph/syntax at the current column. */
  fail(expected: string): never {
    const rest = this.#text.slice(this.#at, this.#at + 24);
    const found = rest === "" ? "the line ends" : `found ${JSON.stringify(rest)}`;
    throw new LfmcError("graph/syntax", `expected ${expected}, ${found}`, {
      subject: `line ${this.#line}, column ${this.#at + 1}`,
      hint: "correct the line: graph/README.md tells the grammar",
    });
  }

  /** The text that a pattern (with the y flag) matches here, or undefined. */
  tryMatch(pattern: RegExp): string | undefined {
    while (this.#text[this.#at] === " ") this.#at++;
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  match(pattern: RegExp, expected: string): string {
    return this.tryMatch(pattern) ?? this.fail(expected);
  }

  /** Whether `token` stands here; takes it if so. */
  take(token: string): boolean {
    while (this.#text[this.#at] === " ") this.#at++;
    const found = this.#text.startsWith(token, this.#at);
    if (found) this.#at += token.length;
    return found;
  }

  expect(token: string): void {
    if (!this.take(token)) this.fail(JSON.stringify(token));
  }

  /** A name of a value, an op or an attribute. */
  name(): string {
    return this.match(/[A-Za-z0-9_.-]+/y, "a name");
  }

  /** An integer from 0. */
  index(): number {
    return Number(this.match(/\d+/y, "a number"));
  }

  /** A string in JSON's notation. */
  quoted(): string {
    const text = this.match(/"(?:[^"\\]|\\.)*"/y, "a string in double quotes");
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === "string") return value;
    } catch {
      // Falls through to the same complaint as any other text.
    }
    return this.fail("a string in JSON's notation before this point");
  }

  /** Items between `open` and `close`, with commas between them; none is allowed. */
  list<T>(open: string, close: string, item: () => T): readonly T[] {
    this.expect(open);
    if (this.take(close)) return [];
    const items = [item()];
    while (!this.take(close)) {
      this.expect(",");
      items.push(item());
    }
    return items;
  }

  end(): void {
    this.tryMatch(/ */y);
    if (this.#at < this.#text.length) this.fail("the line's end");
  }
}
