/** Values of GGUF metadata by key and kind. A value of another kind throws `gguf/metadata`; an absent one is null. */
import { LfmcError } from "../../errors.ts";
import { shown } from "../schema-error.ts";
import type { Metadata } from "./header.ts";
import { valueTypes } from "./scan.ts";

const integers: ReadonlySet<number> = new Set([
  ...[valueTypes.u8, valueTypes.i8, valueTypes.u16, valueTypes.i16],
  ...[valueTypes.u32, valueTypes.i32, valueTypes.u64, valueTypes.i64],
]);

/** Reads one file's metadata; `file` names it in errors. */
export class MetadataReader {
  readonly #metadata: Metadata;
  readonly file: string;

  constructor(metadata: Metadata, file: string) {
    this.#metadata = metadata;
    this.file = file;
  }

  keys(): readonly string[] {
    return [...this.#metadata.keys()];
  }

  isArray(key: string): boolean {
    return this.#metadata.get(key)?.type === valueTypes.array;
  }

  text(key: string): string | null {
    return this.#read(key, "a string", (value, type) => (type === valueTypes.string && typeof value === "string" ? value : undefined));
  }

  flag(key: string): boolean | null {
    return this.#read(key, "true or false", (value) => (typeof value === "boolean" ? value : undefined));
  }

  whole(key: string): number | null {
    return this.#read(key, "a whole number", wholeNumber);
  }

  /** A finite float, as the shortest decimal that is the same binary32: 1e-5 is stored as 0.00000999999974737875. */
  real(key: string): number | null {
    return this.#read(key, "a finite float", (value, type) => {
      if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
      if (type === valueTypes.f32) return shortest(value);
      return type === valueTypes.f64 ? value : undefined;
    });
  }

  texts(key: string): readonly string[] | null {
    return this.#list(key, "strings", (value, type) => (type === valueTypes.string && typeof value === "string" ? value : undefined));
  }

  /** Floats of 32 bits, as they are. */
  reals(key: string): readonly number[] | null {
    return this.#list(key, "floats", (value, type) => (type === valueTypes.f32 && typeof value === "number" ? value : undefined));
  }

  wholes(key: string): readonly number[] | null {
    return this.#list(key, "whole numbers", wholeNumber);
  }

  /** A value that must be there. */
  need<T>(key: string, value: T | null): T {
    return value ?? this.bad(`${key} is missing`);
  }

  /** Throws gguf/metadata. */
  bad(fact: string, hint = "the file is damaged, or its converter is older or newer than what lfmc knows: convert the model again"): never {
    throw new LfmcError("gguf/metadata", fact, { subject: this.file, hint });
  }

  #read<T>(key: string, what: string, accept: (value: unknown, type: number) => T | undefined): T | null {
    const entry = this.#metadata.get(key);
    if (!entry) return null;
    return accept(entry.value, entry.type) ?? this.bad(`${key} is ${shownValue(entry.value)}; expected ${what}`);
  }

  #list<T>(key: string, what: string, accept: (value: unknown, type: number) => T | undefined): readonly T[] | null {
    return this.#read(key, `an array of ${what}`, (value) => {
      const itemType = this.#metadata.get(key)?.itemType ?? null;
      if (!Array.isArray(value) || itemType === null) return undefined;
      const items = value.map((item: unknown) => accept(item, itemType)).filter((item) => item !== undefined);
      return items.length === value.length ? items : undefined;
    });
  }
}

function wholeNumber(value: unknown, type: number): number | undefined {
  const number = typeof value === "bigint" ? Number(value) : value;
  return integers.has(type) && Number.isSafeInteger(number) ? Number(number) : undefined;
}

/** The number of fewest digits that rounds to the binary32 `value`. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

function shownValue(value: unknown): string {
  return Array.isArray(value) ? `an array of ${value.length}` : shown(typeof value === "string" ? value : String(value));
}
