/**
 * What a tokenizer from nobody knows where may be made of: parts whose work grows with the text and no faster. A file names its own
 * regular expressions and its own steps, and either can take for ever or all memory over a short text, at compile time and in every
 * later call.
 */
import { LfmcError } from "../errors.ts";
import { isRecord, shown } from "../import/schema-error.ts";

/** Parts of each list; byte-level tokenizers of releases have at most five, and each may double a text. */
const partsMax = 8;

/** Steps before a text is cut; others, such as Replace, may grow it as often as they are listed. */
const normalizers: ReadonlySet<unknown> = new Set(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Sequence"]);

/** Ways to cut a text; the others replace parts of it, or step by a length that may be nothing. */
const preTokenizers: ReadonlySet<unknown> = new Set([
  ...["Split", "ByteLevel", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Sequence"],
]);

/** Refuses a parsed tokenizer.json with parts that no byte-level tokenizer needs and a text could suffer from: `config/unsupported`. */
export function checkTokenizerParts(json: unknown, path: string): void {
  if (!isRecord(json)) return;
  const lists = [
    { key: "normalizer", inner: "normalizers", allowed: normalizers },
    { key: "pre_tokenizer", inner: "pretokenizers", allowed: preTokenizers },
  ] as const;
  for (const { key, inner, allowed } of lists) {
    const parts = partsOf(json[key], inner);
    if (parts.length > partsMax) throw unsupported(path, `its ${key} has more than ${partsMax} parts`);
    for (const { type, pattern } of parts) {
      if (!allowed.has(type)) throw unsupported(path, `its ${key} has a part of type ${shown(type)}`);
      if (type !== "Split") continue;
      const fault = patternFault(pattern);
      if (fault !== null) throw unsupported(path, `its ${key} cuts texts by ${shown(pattern)}, which ${fault}`);
    }
  }
}

/** What is wrong with a pattern to cut texts by, as the end of a sentence. */
function patternFault(pattern: unknown): string | null {
  if (!isRecord(pattern)) return "is no pattern";
  const { Regex: regex, String: text } = pattern;
  if (typeof regex === "string") return slowRegex(regex);
  return regex === undefined && typeof text === "string" ? null : "is no pattern";
}

type Part = Readonly<Record<string, unknown>>;

/** A part and those inside it, until there are too many. */
function partsOf(part: unknown, inner: string): readonly Part[] {
  const found: Part[] = [];
  const open: unknown[] = [part];
  for (let next = open.pop(); next !== undefined && found.length <= partsMax; next = open.pop()) {
    if (!isRecord(next)) continue;
    found.push(next);
    const list: unknown = next[inner];
    const items: readonly unknown[] = Array.isArray(list) ? list : [];
    open.push(...items.slice(0, partsMax + 1));
  }
  return found;
}

const regexMax = 4096;
/** A class that may be repeated more often is as good as repeated without bound. */
const countMax = 64;
/** Unbounded repetitions, one after the other: each multiplies the time by the text's length. Releases have two. */
const repetitionsMax = 3;

/** Unbounded repetitions in a group: of the way that is being read, and the most of those before it. */
interface Ways {
  here: number;
  most: number;
}

/**
 * What makes a regular expression slow, as the end of a sentence; null where nothing does. Groups may be optional but not repeated, since what
 * is inside them could then match one text in many ways; and a way through the expression has few unbounded repetitions.
 */
export function slowRegex(source: string): string | null {
  if (source.length > regexMax) return `has more than ${regexMax} characters`;
  const open: Ways[] = [{ here: 0, most: 0 }];
  let before: "group" | "atom" | "nothing" = "nothing";
  for (let at = 0; at < source.length;) {
    const token = tokenAt(source, at);
    at += token.length;
    const ways = open.at(-1);
    if (!ways) return "closes a group that is not open";
    if (token.startsWith("(?#")) continue;
    if (token.startsWith("(")) {
      open.push({ here: 0, most: 0 });
      before = "nothing";
    } else if (token === ")") {
      open.pop();
      const outer = open.at(-1);
      if (outer) outer.here += Math.max(ways.here, ways.most);
      before = "group";
    } else if (token === "|") {
      ways.most = Math.max(ways.most, ways.here);
      ways.here = 0;
      before = "nothing";
    } else {
      const most = repetitionOf(token);
      if (most === null || before === "nothing") before = "atom";
      else if (most > 1 && before === "group") return "repeats a group";
      else if (most > countMax) ways.here++;
    }
    if ((open.at(-1)?.here ?? 0) > repetitionsMax) return `has more than ${repetitionsMax} unbounded repetitions in a row`;
  }
  return null;
}

/** An escape, a class in its brackets, the beginning of a group, a repetition, or one character. */
function tokenAt(source: string, at: number): string {
  const rest = source.slice(at);
  const simple = /^(\\(?:[pPkgx]\{[^}]*\}|.)|\(\?#[^)]*\)|\((?:\?(?:<?[=!]|>|<[^>]*>|[a-zA-Z-]*:?))?|(?:[*+?]|\{\d*,?\d*\})[?+]*)/su.exec(
    rest,
  )?.[0];
  return simple ?? (rest.startsWith("[") ? classAt(rest) : rest.slice(0, 1));
}

/** A class up to its bracket, which may come first as one of its characters; classes may hold others. */
function classAt(text: string): string {
  let depth = 1;
  for (let at = /^\[\^?\]?/.exec(text)?.[0].length ?? 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "[") depth++;
    else if (text[at] === "]" && --depth === 0) return text.slice(0, at + 1);
  }
  return text;
}

/** The most times that a repetition allows; null for what is none. */
function repetitionOf(token: string): number | null {
  if (/^[*+]/.test(token)) return Infinity;
  if (token.startsWith("?")) return 1;
  const [, least, comma, most] = /^\{(\d*)(,?)(\d*)\}/.exec(token) ?? [];
  if (least === undefined || (least === "" && most === "")) return null;
  return most === "" ? (comma === "," ? Infinity : Number(least)) : Number(most);
}

function unsupported(path: string, fact: string): LfmcError {
  return new LfmcError("config/unsupported", fact, {
    subject: path,
    hint: "is this the model's own tokenizer? without the file the model compiles for token ids alone",
  });
}
