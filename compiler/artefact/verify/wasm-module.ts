/**
 * What a WebAssembly module says of itself, read from its bytes: its imports, exports, data and custom sections. Engines tell it too,
 * but only of modules whose every feature they have. Code is not looked at.
 */

/** Thrown for bytes that are no module: what is wrong, in words. */
export class MalformedModule extends Error {}

export interface MemoryType {
  /** In pages. */
  readonly minimum: number;
  /** null where there is none. */
  readonly maximum: number | null;
  readonly shared: boolean;
  /** Whether addresses have 64 bits. */
  readonly wide: boolean;
}

export interface ModuleImport {
  /** `env.memory` */
  readonly name: string;
  /** null for anything but a memory. */
  readonly memory: MemoryType | null;
}

export interface ModuleFacts {
  readonly imports: readonly ModuleImport[];
  /** Names of exported functions. */
  readonly functions: readonly string[];
  /** Names of everything else that is exported. */
  readonly others: readonly string[];
  /** The passive data segments. */
  readonly data: readonly Uint8Array[];
  /** Text of each custom section, by its name. */
  readonly texts: ReadonlyMap<string, string>;
  /** Where the data section lies in the file; null where there is none. */
  readonly dataPlace: { readonly start: number; readonly end: number } | null;
}

const magic = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const section = { custom: 0, imports: 2, exports: 7, data: 11 } as const;
const kind = { func: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;
const limitFlags = { maximum: 1, shared: 2, wide: 4 } as const;

/** Reads a module's sections. Throws MalformedModule. */
export function readModule(bytes: Uint8Array): ModuleFacts {
  if (!magic.every((byte, i) => bytes[i] === byte)) throw new MalformedModule("is no WebAssembly module of version 1");
  const file = new Cursor(bytes, magic.length);
  const texts = new Map<string, string>();
  let facts: Omit<ModuleFacts, "texts"> = { imports: [], functions: [], others: [], data: [], dataPlace: null };
  while (!file.ended) {
    const start = file.at;
    const id = file.byte();
    const contents = new Cursor(file.take(file.count()), 0);
    if (id === section.custom) texts.set(contents.name(), new TextDecoder().decode(contents.rest()));
    if (id === section.imports) facts = { ...facts, imports: contents.list(readImport) };
    if (id === section.exports) facts = { ...facts, ...readExports(contents) };
    if (id === section.data) facts = { ...facts, data: contents.list(readSegment), dataPlace: { start, end: file.at } };
  }
  return { ...facts, texts };
}

/** The module with nothing in its passive data segment: for tools that need not see megabytes of weights. */
export function withoutData(bytes: Uint8Array, { dataPlace }: Pick<ModuleFacts, "dataPlace">): Uint8Array {
  if (!dataPlace) return bytes;
  const emptySection = [section.data, 3, 1, 1, 0];
  const [before, after] = [bytes.subarray(0, dataPlace.start), bytes.subarray(dataPlace.end)];
  const whole = new Uint8Array(before.length + emptySection.length + after.length);
  whole.set(before);
  whole.set(emptySection, before.length);
  whole.set(after, before.length + emptySection.length);
  return whole;
}

function readImport(at: Cursor): ModuleImport {
  const name = `${at.name()}.${at.name()}`;
  const kindOfImport = at.byte();
  if (kindOfImport === kind.memory) return { name, memory: readMemoryType(at) };
  // What else can be imported is not looked at further, but has to be passed by.
  if (kindOfImport === kind.func) at.count();
  else if (kindOfImport === kind.global) at.take(2);
  else throw new MalformedModule(`imports ${name}, which is neither a function, a memory nor a global`);
  return { name, memory: null };
}

function readMemoryType(at: Cursor): MemoryType {
  const flags = at.byte();
  const minimum = at.count();
  const maximum = flags & limitFlags.maximum ? at.count() : null;
  return { minimum, maximum, shared: (flags & limitFlags.shared) !== 0, wide: (flags & limitFlags.wide) !== 0 };
}

function readExports(at: Cursor): Pick<ModuleFacts, "functions" | "others"> {
  const all = at.list((entry) => {
    const [name, kindOfExport] = [entry.name(), entry.byte()];
    entry.count();
    return { name, isFunction: kindOfExport === kind.func };
  });
  const named = (isFunction: boolean): readonly string[] => all.filter((each) => each.isFunction === isFunction).map(({ name }) => name);
  return { functions: named(true), others: named(false) };
}

function readSegment(at: Cursor): Uint8Array {
  const mode = at.count();
  if (mode !== 1) throw new MalformedModule("has a data segment that writes to the memory by itself");
  return at.take(at.count());
}

/** Reads from the front; whatever would lead past the end is a fault of the module's. */
class Cursor {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get ended(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new MalformedModule("ends in the middle of a section");
    return byte;
  }

  /** An unsigned LEB128 number, exact up to 2^53. */
  count(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new MalformedModule("holds a number that is too large");
  }

  take(count: number): Uint8Array {
    if (count > this.#bytes.length - this.at) throw new MalformedModule("ends in the middle of a section");
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.at);
  }

  name(): string {
    return new TextDecoder().decode(this.take(this.count()));
  }

  list<Item>(read: (at: Cursor) => Item): readonly Item[] {
    const count = this.count();
    const items: Item[] = [];
    for (let i = 0; i < count; i++) items.push(read(this));
    return items;
  }
}
