/**
 * A walk over the raw bytes of a GGUF header, before any parser sees them. What it lets through is whole: every count is bounded by the
 * bytes that are left, every type is known, every string is strict UTF-8, no key and no tensor is there twice. So a parser after it
 * cannot be made to allocate without bound, to loop, or to keep the last of two values.
 */
import { LfmcError } from "../../errors.ts";
import { shown } from "../schema-error.ts";

/** Headers end within so many bytes; those of releases take under 10 million. */
export const headerBytesMax = 24 * 2 ** 20;

const keysMax = 10_000;
const tensorsMax = 65_536;
/** Items of one array, and of all; the largest vocabulary of a release has 128,000 tokens. */
const itemsMax = 500_000;
const allItemsMax = 1_200_000;
/** Bytes of a key or of a tensor's name; ggml's names have at most 63. */
const nameBytesMax = 255;
const textBytesMax = 400_000;
/** Names that the parser's own result has already. */
export const ownKeys: ReadonlySet<string> = new Set(["version", "tensor_count", "kv_count"]);

/** The format's numbers of metadata types. */
export const valueTypes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

/** Bytes of a value, by its type's number; strings and arrays have none of their own. */
const valueBytes: ReadonlyMap<number, number> = new Map([
  ...[valueTypes.u8, valueTypes.i8, valueTypes.bool].map((type) => [type, 1] as const),
  ...[valueTypes.u16, valueTypes.i16].map((type) => [type, 2] as const),
  ...[valueTypes.u32, valueTypes.i32, valueTypes.f32].map((type) => [type, 4] as const),
  ...[valueTypes.u64, valueTypes.i64, valueTypes.f64].map((type) => [type, 8] as const),
]);

export interface HeaderScan {
  /** Where the header ends, before the padding. */
  readonly end: number;
  /** The last string of each array of strings, by the array's key. */
  readonly lastTexts: ReadonlyMap<string, string>;
}

/**
 * Checks the header at the beginning of `bytes`, the first of the file's `fileBytes`: all of them, or at least `headerBytesMax`. Throws
 * gguf/header.
 */
export function scanHeader(bytes: Uint8Array, fileBytes: number, file: string): HeaderScan {
  const cursor = new Cursor(bytes, fileBytes, file);
  if (cursor.magic() !== "GGUF") return badHeader(file, "does not begin with GGUF", "is this a GGUF file?");
  checkVersion(cursor.u32("its version"), file);
  // A tensor takes 32 bytes at least, a key with its value 13.
  const tensorCount = cursor.count("tensors", 32, tensorsMax);
  const keyCount = cursor.count("keys", 13, keysMax);
  const lastTexts = new Map<string, string>();
  const keys = new Set<string>();
  for (let i = 0; i < keyCount; i++) {
    const key = cursor.text("a key", nameBytesMax);
    if (!/^[\x21-\x7e]+$/.test(key) || ownKeys.has(key) || key === "__proto__") return badHeader(file, `has the key ${shown(key)}`);
    if (keys.has(key)) return badHeader(file, `has the key ${shown(key)} twice`);
    keys.add(key);
    const last = cursor.value(key);
    if (last !== null) lastTexts.set(key, last);
  }
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const name = cursor.text("a tensor's name", nameBytesMax);
    if (names.has(name)) return badHeader(file, `has the tensor ${shown(name)} twice`);
    names.add(name);
    const axes = cursor.u32(`the number of axes of ${shown(name)}`);
    if (axes < 1 || axes > 4) return badHeader(file, `gives tensor ${shown(name)} ${axes} axes; expected 1 to 4`);
    // Sizes, the type, and where its bytes begin.
    cursor.skip(axes * 8 + 4 + 8, `tensor ${shown(name)}`);
  }
  return { end: cursor.at, lastTexts };
}

function checkVersion(version: number, file: string): void {
  if (version === 2 || version === 3) return;
  if (version === 0x02000000 || version === 0x03000000) {
    badHeader(file, "is big-endian", "get the little-endian file: lfmc reads no other, like nearly every machine");
  }
  badHeader(file, `has version ${version}; versions 2 and 3 are read`, "convert the model again with a current converter");
}

/** Reads on through bytes that may lie, and says which part of the header was being read where they end. */
class Cursor {
  at = 0;
  #items = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  readonly #file: string;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array, fileBytes: number, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#fileBytes = fileBytes;
    this.#file = file;
  }

  magic(): string {
    return String.fromCharCode(...this.#bytes.subarray(0, this.skip(4, "its first word") + 4));
  }

  /** Moves on by `length` bytes, which must be there; returns where they begin. */
  skip(length: number, what: string): number {
    const start = this.at;
    if (start + length > this.#fileBytes) badHeader(this.#file, `ends within ${what}`);
    if (start + length > this.#bytes.length) badHeader(this.#file, `has a header of more than ${headerBytesMax} bytes`);
    this.at += length;
    return start;
  }

  u32(what: string): number {
    return this.#view.getUint32(this.skip(4, what), true);
  }

  /** A count of things of at least `leastBytes` each, so many as can be there. */
  count(what: string, leastBytes: number, most: number): number {
    const count = this.#view.getBigUint64(this.skip(8, `the number of ${what}`), true);
    if (count * BigInt(leastBytes) > BigInt(this.#fileBytes - this.at)) {
      badHeader(this.#file, `says that it has ${count} ${what}, but only ${this.#fileBytes - this.at} bytes follow`);
    }
    if (count > BigInt(most)) badHeader(this.#file, `has ${count} ${what}; at most ${most} are read`);
    return Number(count);
  }

  text(what: string, bytesMax: number): string {
    const length = this.count(`bytes of ${what}`, 1, bytesMax);
    const start = this.skip(length, what);
    try {
      return this.#utf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      return badHeader(this.#file, `has ${what} that is not UTF-8 text`);
    }
  }

  /** Passes a key's value; returns the last string of an array of strings. */
  value(key: string): string | null {
    const type = this.u32(`the type of ${shown(key)}`);
    if (type !== valueTypes.array) {
      this.#items++;
      this.#scalars(key, type, 1);
      return null;
    }
    const itemType = this.u32(`the type of ${shown(key)}'s items`);
    const leastBytes = valueBytes.get(itemType) ?? 8;
    const count = this.count(`items of ${shown(key)}`, leastBytes, itemsMax);
    this.#items += count;
    if (this.#items > allItemsMax) badHeader(this.#file, `has more than ${allItemsMax} values`);
    return this.#scalars(key, itemType, count);
  }

  /** Passes `count` values of a type that is no array; returns the last string. */
  #scalars(key: string, type: number, count: number): string | null {
    if (type === valueTypes.string) {
      let last: string | null = null;
      for (let i = 0; i < count; i++) last = this.text(`the text of ${shown(key)}`, textBytesMax);
      return last;
    }
    const bytes = valueBytes.get(type);
    if (bytes === undefined) {
      const fact = type === valueTypes.array ? "is an array of arrays" : `has type ${type}, which the format does not have`;
      return badHeader(this.#file, `${shown(key)} ${fact}`);
    }
    const start = this.skip(bytes * count, `the value of ${shown(key)}`);
    const lies = type === valueTypes.bool && this.#bytes.subarray(start, this.at).some((byte) => byte > 1);
    if (lies) badHeader(this.#file, `${shown(key)} is neither true nor false`);
    return null;
  }
}

/** Throws gguf/header. */
export function badHeader(file: string, fact: string, hint = "the file is damaged or cut short: download it again"): never {
  throw new LfmcError("gguf/header", fact, { subject: file, hint });
}
