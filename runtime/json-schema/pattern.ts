/**
 * Regular expressions as grammars of whole texts: literals, classes, groups, alternatives, greedy repetition, anchors at the ends. What
 * looks around, back or at borders of words is refused. A grammar has all matches, so that lazy and greedy repetition are one.
 */
import { LfmcError } from "../index.ts";
import { type Range, everyCharacter, except, overlap } from "./characters.ts";
import { type Item, choice, empty, repeat, sequence } from "./items.ts";

/** Spells one character of some ranges: as itself, or as a JSON string has it. */
export type Spelling = (ranges: readonly Range[]) => Item;

/** Most characters of a pattern, and most times that something in it can be asked for. */
const mostCharacters = 10_000;
const mostTimes = 10_000;
const mostDepth = 200;

const digits: readonly Range[] = [[0x30, 0x39]];
const words: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const spaces: readonly Range[] = [
  [9, 13],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: readonly Range[] = [
  [0xa, 0xa],
  [0xd, 0xd],
  [0x2028, 0x2029],
];

const classes: ReadonlyMap<string, readonly Range[]> = new Map([
  ["d", digits],
  ["D", except(digits)],
  ["w", words],
  ["W", except(words)],
  ["s", spaces],
  ["S", except(spaces)],
]);

const controls: ReadonlyMap<string, number> = new Map([
  ["n", 10],
  ["r", 13],
  ["t", 9],
  ["f", 12],
  ["v", 11],
  ["0", 0],
]);

/**
 * The grammar of the texts that `source` matches (ECMAScript, with the flag u), anywhere in them as JSON schemas mean it, or as a whole.
 * Throws `run/input` for what is no pattern, or not supported.
 */
export function patternGrammar(source: string, spell: Spelling, isWhole: boolean): Item {
  const parser = new PatternParser(source, spell, isWhole ? empty : repeat(spell(everyCharacter), 0, Infinity));
  return parser.parse();
}

class PatternParser {
  readonly #source: string;
  readonly #characters: readonly string[];
  readonly #spell: Spelling;
  /** What may stand before and after a match that no anchor holds. */
  readonly #around: Item;
  #at = 0;
  #depth = 0;

  constructor(source: string, spell: Spelling, around: Item) {
    this.#source = source;
    this.#characters = [...source];
    this.#spell = spell;
    this.#around = around;
  }

  parse(): Item {
    if (this.#characters.length > mostCharacters) this.#refuse(`has more than ${mostCharacters} characters`);
    try {
      new RegExp(this.#source, "u");
    } catch {
      this.#refuse("is not a regular expression");
    }
    return this.#alternatives();
  }

  /** Of the whole pattern or of a group; anchors hold an alternative of the whole pattern. */
  #alternatives(): Item {
    const items: Item[] = [];
    do items.push(this.#alternative());
    while (this.#takes("|"));
    return items.length === 1 ? (items[0] ?? empty) : choice(...items);
  }

  #alternative(): Item {
    const isTop = this.#depth === 0;
    const isAtStart = isTop && this.#takes("^");
    const items: Item[] = [];
    let isAtEnd = false;
    while (this.#at < this.#characters.length && this.#next !== "|" && this.#next !== ")") {
      if (isTop && this.#next === "$" && [undefined, "|"].includes(this.#characters[this.#at + 1])) {
        this.#at++;
        isAtEnd = true;
      } else items.push(this.#repeated());
    }
    if (!isTop) return sequence(...items);
    return sequence(...(isAtStart ? [] : [this.#around]), ...items, ...(isAtEnd ? [] : [this.#around]));
  }

  #repeated(): Item {
    const item = this.#atom();
    const [min, max] = this.#times();
    if (min === 1 && max === 1) return item;
    // Lazy or not, the same texts match.
    this.#takes("?");
    if (Math.max(min, max === Infinity ? 0 : max) > mostTimes) this.#refuse(`repeats more than ${mostTimes} times`);
    return repeat(item, min, max);
  }

  #times(): readonly [min: number, max: number] {
    if (this.#takes("*")) return [0, Infinity];
    if (this.#takes("+")) return [1, Infinity];
    if (this.#takes("?")) return [0, 1];
    const counts = /^\{(\d+)(,(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 40).join(""));
    if (!counts) return [1, 1];
    this.#at += counts[0].length;
    const min = Number(counts[1]);
    return [min, counts[2] === undefined ? min : counts[3] ? Number(counts[3]) : Infinity];
  }

  #atom(): Item {
    const character = this.#take();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return this.#spell(this.#class());
      case ".":
        return this.#spell(except(lineEnds));
      case "\\":
        return this.#spell(this.#escape());
      case "^":
      case "$":
        return this.#refuse(`has ${character} inside`);
      default:
        return this.#spell(single(character));
    }
  }

  #group(): Item {
    if (this.#takes("?") && !this.#takes(":")) {
      if (!this.#takes("<") || ["=", "!"].includes(this.#next ?? "")) return this.#refuse("looks around, or sets flags");
      while (this.#take() !== ">");
    }
    if (++this.#depth > mostDepth) return this.#refuse(`has more than ${mostDepth} groups in each other`);
    const item = this.#alternatives();
    this.#depth--;
    this.#take();
    return item;
  }

  #class(): readonly Range[] {
    const isNegated = this.#takes("^");
    const ranges: Range[] = [];
    while (!this.#takes("]")) {
      const first = this.#member();
      const isRange = this.#next === "-" && this.#characters[this.#at + 1] !== "]" && first.length === 1 && first[0]?.[0] === first[0]?.[1];
      if (!isRange) ranges.push(...first);
      else {
        this.#at++;
        ranges.push([first[0]?.[0] ?? 0, this.#member()[0]?.[1] ?? 0]);
      }
    }
    const outside = except(ranges);
    return isNegated ? outside : except(outside);
  }

  #member(): readonly Range[] {
    const character = this.#take();
    if (character !== "\\") return single(character);
    return this.#takes("b") ? [[8, 8]] : this.#escape();
  }

  #escape(): readonly Range[] {
    const character = this.#take();
    const known = classes.get(character);
    if (known) return known;
    const control = controls.get(character);
    if (control !== undefined) return [[control, control]];
    if (/[\^$\\.*+?()[\]{}|/-]/.test(character)) return single(character);
    const code = /^(?:x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]+)\})/i.exec(
      character + this.#characters.slice(this.#at, this.#at + 10).join(""),
    );
    if (!code) return this.#refuse(`has \\${character}`);
    this.#at += code[0].length - 1;
    const point = Number.parseInt(code[1] ?? code[2] ?? code[3] ?? "", 16);
    return overlap([[point, point]], everyCharacter);
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #takes(character: string): boolean {
    if (this.#next !== character) return false;
    this.#at++;
    return true;
  }

  #take(): string {
    const character = this.#next ?? this.#refuse("ends too early");
    this.#at++;
    return character;
  }

  #refuse(fact: string): never {
    throw new LfmcError("run/input", `${fact}: ${this.#source.slice(0, 80)}`, {
      subject: "pattern",
      hint: "Use literals, classes, groups, alternatives, repetition, and anchors at the ends.",
    });
  }
}

function single(character: string): readonly Range[] {
  const code = character.codePointAt(0) ?? 0;
  return [[code, code]];
}
