/**
 * The numbers of a group, from the words that they lie in (panels): for dot atoms runs of four columns, a register each; for others a word at a
 * time. A group's words are read in whatever lanes suit the reader, from a panel's row on.
 */
import type { Place, Registers } from "../atom.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import { bytesOfElement, printType, vector, type Type, type Value } from "../ir.ts";
import { columnsPerWord, runLength, wordBytes } from "./panels.ts";

/** The numbers of some rows of a group. */
export interface GroupNumbers {
  /** Bits of a number. */
  readonly bits: number;
  /** A stored word as lanes of `type`, whose first are those of the first row; read once, however often it is asked for. */
  readonly word: (index: number, type: Type) => Value;
}

/** Those whose first word, from some row on, lies at a place. */
export function groupNumbers(b: KernelBuilder, bits: number, { pointer, index, offset }: Place): GroupNumbers {
  const known = new Map<string, Value>();
  const word = (number: number, type: Type): Value => {
    const key = `${number} ${printType(type)}`;
    const value = known.get(key) ?? b.load(type, pointer, index, offset + number * wordBytes);
    known.set(key, value);
    return value;
  };
  return { bits, word };
}

/** `count` runs of numbers of at most four bits, from run `first` on, both even: each a register of `rows` rows. */
export function nibbleRuns(b: KernelBuilder, numbers: GroupNumbers, rows: number, first: number, count: number): Registers {
  const words = Array.from({ length: count / 2 }, (_, i) => first / 2 + i);
  return words.flatMap((index) => {
    const packed = nibbleWord(b, numbers, index, vector("i8", rows * runLength));
    return [bitsAt(b, packed, 0, numbers.bits), bitsAt(b, packed, nibbleBits, numbers.bits)];
  });
}

/** `count` runs of numbers of eight bits, from run `first` on: each a register of `rows` rows. */
export function byteRuns({ word }: GroupNumbers, rows: number, first: number, count: number): Registers {
  return Array.from({ length: count }, (_, i) => word(first + i, vector("i8", rows * runLength)));
}

const nibbleBits = 4;

/** A word of nibbles as lanes of `type`. Words of three-bit numbers have other words' bits at the top of each nibble, but for the last. */
export function nibbleWord(b: KernelBuilder, { bits, word }: GroupNumbers, index: number, type: Type): Value {
  if (index < bits) return word(index, type);
  // One bit of every nibble from each stored word.
  const planes = Array.from({ length: bits }, (_, bit) => b.and(movedRight(b, word(bit, type), bits - bit), nibblesOf(type, 1 << bit)));
  return planes.reduce((gathered, plane) => b.or(gathered, plane));
}

/** `nibble` in every nibble of a lane. */
function nibblesOf({ element }: Type, nibble: number): number {
  return (0x11111111 >>> (32 - 8 * bytesOfElement(element))) * nibble;
}

/** The bits from `shift` on of every byte. */
function bitsAt(b: KernelBuilder, packed: Value, shift: number, bits: number): Value {
  if (shift + bits === 8) return b.shrU(packed, shift);
  return b.and(movedRight(b, packed, shift), 2 ** bits - 1);
}

/** Shifts lanes; bytes in pairs, which no machine shifts alone, so that the upper bits of each are its neighbour's. */
function movedRight(b: KernelBuilder, value: Value, shift: number): Value {
  if (shift === 0) return value;
  if (value.type.element !== "i8") return b.shrU(value, shift);
  return b.bitcast(b.shrU(b.bitcast(value, vector("i16", value.type.lanes / 2)), shift), value.type);
}

/** What a word is to its reader: `count` columns from `first` on, as `numberOf` takes them out. */
export interface Word {
  readonly packed: Value;
  readonly first: Index;
  readonly count: number;
}

/** Emits `body` for the words of a group's first `columns` columns; `load` reads a stored word as lanes of `type`. */
export function forWords(
  b: KernelBuilder,
  { bits, columns, type }: { readonly bits: number; readonly columns: number; readonly type: Type },
  load: (word: Index) => Value,
  body: (word: Word) => void,
): void {
  const perWord = columnsPerWord(bits);
  const stored = Math.min(bits, Math.floor(columns / perWord));
  b.for("word", 0, stored, 1, (word) => {
    body({ packed: load(word), first: b.mul(word, perWord), count: perWord });
  });
  for (let word = stored; word * perWord < columns; word++) {
    const packed = word < bits ? load(word) : nibbleWord(b, { bits, word: load }, word, type);
    body({ packed, first: word * perWord, count: Math.min(perWord, columns - word * perWord) });
  }
}

/** Column `column` of a word, as i32 lanes: low nibbles of its four bytes come first, then the high ones. */
export function numberOf(b: KernelBuilder, bits: number, { packed }: Word, column: number): Value {
  const shift = 8 * (column % runLength) + nibbleBits * Math.floor(column / runLength);
  return b.and(b.shrU(packed, shift), 2 ** bits - 1);
}

/** u - offset, of lanes. */
export function centred(b: KernelBuilder, u: Value, offset: number): Value {
  return offset === 0 ? u : b.sub(u, offset);
}
