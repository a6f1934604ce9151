/**
 * A cursor over parsed JSON that hands out one field at a time in the type asked for, or throws `artefact/invalid` with the
 * field's path. Only own properties count, so a manifest cannot reach into prototypes.
 */
import { LfmcError } from "./errors.ts";

const baseName = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/;
const sha256 = /^[0-9a-f]{64}$/;
/** Strings reach terminals and logs; a name that moves the cursor or turns text round is no name. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** Reads the fields of one JSON object; `path` is its place in the manifest, "" for the root. */
export class Reader {
  readonly #value: object;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.#path = path;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(path, "is not an object");
    this.#value = value;
  }

  /** Throws `artefact/invalid` for the field `key` of this object. */
  fail(key: string, fact: string): never {
    throw invalid(this.#place(key), fact);
  }

  object(key: string): Reader {
    return new Reader(this.#field(key), this.#place(key));
  }

  objectOrNull(key: string): Reader | null {
    return this.#field(key) === null ? null : this.object(key);
  }

  /** The elements of an array of objects. */
  array(key: string): readonly Reader[] {
    return this.#list(key).map((item, i) => new Reader(item, `${this.#place(key)}[${i}]`));
  }

  string(key: string): string {
    return this.#printable(key, this.#field(key), "is not a string");
  }

  strings(key: string): readonly string[] {
    return this.#list(key).map((item) => this.#printable(key, item, "is not a list of strings"));
  }

  boolean(key: string): boolean {
    const value = this.#field(key);
    return typeof value === "boolean" ? value : this.fail(key, "is not a boolean");
  }

  /** A finite number of at least 0. */
  number(key: string): number {
    const value = this.#field(key);
    return typeof value === "number" && Number.isFinite(value) && value >= 0
      ? value
      : this.fail(key, "is not a finite number of at least 0");
  }

  /** A safe integer of at least 0. */
  integer(key: string): number {
    const value = this.#field(key);
    return isCount(value) ? value : this.fail(key, "is not an integer of at least 0");
  }

  positive(key: string): number {
    return this.integer(key) || this.fail(key, "is 0");
  }

  integerOrNull(key: string): number | null {
    return this.#field(key) === null ? null : this.integer(key);
  }

  integers(key: string): readonly number[] {
    return this.#list(key).map((item) => (isCount(item) ? item : this.fail(key, "is not a list of integers of at least 0")));
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T {
    const value = this.string(key);
    return allowed.find((one) => one === value) ?? this.fail(key, `is ${shown(value)}, not one of ${allowed.join(", ")}`);
  }

  /** 64 lower-case hexadecimal digits. */
  hash(key: string): string {
    const value = this.string(key);
    return sha256.test(value) ? value : this.fail(key, "is not a sha256 in lower-case hexadecimal");
  }

  hashes(key: string): readonly string[] {
    return this.strings(key).map((value) =>
      sha256.test(value) ? value : this.fail(key, "is not a list of sha256 in lower-case hexadecimal"),
    );
  }

  /** A bare file name, or one directly under `folder` ("" or a name ending in a slash). */
  fileName(key: string, folder: string): string {
    const value = this.string(key);
    const name = value.startsWith(folder) ? value.slice(folder.length) : value;
    return baseName.test(name) ? value : this.fail(key, `${shown(value)} is not a plain file name`);
  }

  fileNameOrNull(key: string): string | null {
    return this.#field(key) === null ? null : this.fileName(key, "");
  }

  #printable(key: string, value: unknown, otherwise: string): string {
    if (typeof value !== "string") return this.fail(key, otherwise);
    return unprintable.test(value) ? this.fail(key, "holds control characters") : value;
  }

  #field(key: string): unknown {
    return Object.getOwnPropertyDescriptor(this.#value, key)?.value;
  }

  #list(key: string): readonly unknown[] {
    const value: unknown = this.#field(key);
    return Array.isArray(value) ? value : this.fail(key, "is not a list");
  }

  #place(key: string): string {
    return this.#path === "" ? key : `${this.#path}.${key}`;
  }
}

/** A string for a message, cut to a readable length. */
function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function invalid(place: string, fact: string): LfmcError {
  return new LfmcError("artefact/invalid", `${place || "the document"} ${fact}`, {
    subject: "manifest.json",
    hint: "Compile the model again; the artefact was altered, or written by another version of lfmc.",
  });
}
