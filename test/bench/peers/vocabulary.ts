/**
 * A made-up vocabulary of any size for models with random weights: reserved tokens, the bytes, and letters with one merge for each further
 * token. Its merges are ASCII alone, and `isReserved` tells the rows that the embedding leaves zero, so that greedy decoding always
 * writes valid UTF-8 and never ends by itself.
 */

export interface Vocabulary {
  readonly tokens: readonly string[];
  /** GGUF's types: 3 for a control token, 1 for a normal one. */
  readonly types: readonly number[];
  readonly merges: readonly string[];
}

const reserved = 64;
const bytes = 256;
const names: Readonly<Record<number, string>> = {
  0: "<|pad|>",
  1: "<|startoftext|>",
  2: "<|endoftext|>",
  6: "<|im_start|>",
  7: "<|im_end|>",
};
const letters = Array.from("abcdefghijklmnopqrstuvwxyz");

/** The vocabulary of `size` tokens, at most 475,000. */
export function makeVocabulary(size: number): Vocabulary {
  const specials = Array.from({ length: reserved }, (_, id) => names[id] ?? `<|reserved_${id}|>`);
  const merges = merged().slice(0, size - reserved - bytes);
  const tokens = [...specials, ...byteCharacters(), ...merges.map(([left, right]) => left + right)];
  return { tokens, types: tokens.map((_, id) => (id < reserved ? 3 : 1)), merges: merges.map((pair) => pair.join(" ")) };
}

/** Whether greedy decoding must never choose a token: a control token, or a byte that is no printable ASCII. */
export function isReserved(id: number): boolean {
  const byte = id - reserved;
  return byte < 0 || (byte < bytes && (byte < 32 || byte > 126));
}

/** A text of `count` tokens, the first of them the tokenizer's BOS: words of two letters, two tokens each, and one of a single letter. */
export function promptText(count: number): string {
  const words = Array.from({ length: Math.floor((count - 1) / 2) }, (_, i) => {
    const number = Math.imul(i + 1, 0x9e3779b1) >>> 8;
    return ` ${letters[number % 26] ?? ""}${letters[Math.floor(number / 26) % 26] ?? ""}`;
  });
  return words.join("") + (count % 2 === 0 ? " a" : "");
}

/** GPT-2's printable character for each byte. */
function byteCharacters(): readonly string[] {
  const isPrintable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  return Array.from({ length: bytes }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/** A space before a letter, then words of two, three and four letters, each from a shorter one. */
function merged(): readonly (readonly [string, string])[] {
  const space = byteCharacters()[32] ?? "";
  const longer = (words: readonly string[]) => words.flatMap((word) => letters.map((letter) => [word, letter] as const));
  const joined = (pairs: readonly (readonly [string, string])[]) => pairs.map(([left, right]) => left + right);
  const two = longer(letters);
  const three = longer(joined(two));
  return [...longer([space]), ...two, ...three, ...longer(joined(three))];
}
