/** Characters as bytes of UTF-8, and as JSON strings spell them: each in one way, so that equal texts are equal bytes. */
import { type Item, byteRange, choice, literal, literals, never, sequence } from "./items.ts";

/** Code points from the first to the last. */
export type Range = readonly [first: number, last: number];

/** Every code point that UTF-8 has: surrogates are none. */
export const everyCharacter: readonly Range[] = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Code points that JSON strings spell as they are. */
const plain: readonly Range[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x10ffff],
];

/** One character of a JSON string, of those in `ranges`: as it is, or as JSON.stringify escapes it. */
export function jsonCharacter(ranges: readonly Range[]): Item {
  const escaped = overlap(ranges, [
    [0, 0x1f],
    [0x22, 0x22],
    [0x5c, 0x5c],
  ]).flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => JSON.stringify(String.fromCharCode(first + i)).slice(1, -1)),
  );
  return choice(character(overlap(ranges, plain)), literals(escaped));
}

/** The parts of `ranges` that are in `others` too; both in rising order. */
export function overlap(ranges: readonly Range[], others: readonly Range[]): readonly Range[] {
  return ranges.flatMap(([first, last]) =>
    others.map(([start, end]): Range => [Math.max(first, start), Math.min(last, end)]).filter(([low, high]) => low <= high),
  );
}

/** Every character that is none of `ranges`, which are in any order. */
export function except(ranges: readonly Range[]): readonly Range[] {
  const sorted = ranges.toSorted(([a], [b]) => a - b);
  const rest: Range[] = [];
  let next = 0;
  for (const [first, last] of sorted) {
    if (first > next) rest.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  return overlap([...rest, [next, 0x10ffff]], everyCharacter);
}

/** One character of `ranges` in UTF-8. */
export function character(ranges: readonly Range[]): Item {
  const parts = overlap(ranges, everyCharacter).flatMap(([first, last]) => encodings(first, last));
  return parts.length === 0 ? never : choice(...parts);
}

/** Sequences of byte ranges that together are the UTF-8 of the code points from `first` to `last`. */
function encodings(first: number, last: number): readonly Item[] {
  const border = [0x7f, 0x7ff, 0xffff].find((limit) => first <= limit && limit < last);
  if (border !== undefined) return [...encodings(first, border), ...encodings(border + 1, last)];
  if (last <= 0x7f) return [byteRange(first, last)];
  const continuations = last <= 0x7ff ? 1 : last <= 0xffff ? 2 : 3;
  for (let i = 1; i <= continuations; i++) {
    const low = 2 ** (6 * i) - 1;
    if ((first | low) === (last | low)) break;
    if ((first & low) !== 0) return [...encodings(first, first | low), ...encodings((first | low) + 1, last)];
    if ((last & low) !== low) return [...encodings(first, (last | low) - low - 1), ...encodings((last | low) - low, last)];
  }
  const encoder = new TextEncoder();
  const ends = encoder.encode(String.fromCodePoint(last));
  return [sequence(...Array.from(encoder.encode(String.fromCodePoint(first)), (byte, i) => byteRange(byte, ends[i] ?? byte)))];
}

/** A text as a JSON string. */
export function jsonText(text: string): Item {
  return literal(JSON.stringify(text));
}
