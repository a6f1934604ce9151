/**
 * Functions of native libraries, called through the foreign function interface that the host has: Deno's and Bun's own, in Node the npm
 * package koffi. Nothing is imported for it, so bundlers find nothing to resolve. Addresses and sizes are numbers: they stay below 2^53.
 */
import { builtinModule, hasFunctions } from "../host.ts";

export type ForeignType = "i32" | "size" | "void";

export interface Signature {
  readonly takes: readonly Exclude<ForeignType, "void">[];
  readonly gives: ForeignType;
}

export type ForeignFunction = (...args: readonly number[]) => number;

export interface ForeignInterface {
  /** The functions of the library at `path`, by name; `symbolOf` says how the library calls them. Throws what the host throws where one is missing. */
  open<Name extends string>(path: string, signatures: Signatures<Name>, symbolOf: (name: Name) => string): ForeignFunctions<Name>;
  /** Where a buffer's first byte lies; it does not move while the buffer lives. */
  addressOf(buffer: ArrayBuffer): number;
  /** The zero-terminated UTF-8 text at an address. */
  textAt(address: number): string;
}

export type Signatures<Name extends string> = Readonly<Record<Name, Signature>>;
export type ForeignFunctions<Name extends string> = Readonly<Record<Name, ForeignFunction>>;

/** The host's interface, or null where it has none. koffi is looked for beside this code, then from each of `places` (file: URLs). */
export function hostForeignInterface(places: readonly string[]): ForeignInterface | null {
  const deno: unknown = Reflect.get(globalThis, "Deno");
  if (isDeno(deno)) return denoInterface(deno);
  const bun = builtinModule("bun:ffi");
  if (isBun(bun)) return bunInterface(bun);
  const koffi = findKoffi([import.meta.url, ...places]);
  return koffi ? koffiInterface(koffi) : null;
}

type Call = (...args: readonly unknown[]) => unknown;

/** A host's function for each signature, its results brought to numbers. */
function functionsOf<Name extends string>(
  signatures: Signatures<Name>,
  find: (name: Name, signature: Signature) => Call | undefined,
): ForeignFunctions<Name> {
  const functions: Partial<Record<Name, ForeignFunction>> = {};
  for (const name in signatures) {
    const call = find(name, signatures[name]);
    if (!call) throw new Error(`no function ${name}`);
    functions[name] = (...args) => Number(call(...args) ?? 0);
  }
  return functions as Record<Name, ForeignFunction>;
}

/** What Deno and Bun take: a record of signatures, each as `describe` puts it, by the library's own names. */
function symbolTable<Name extends string>(
  signatures: Signatures<Name>,
  symbolOf: (name: Name) => string,
  describe: (signature: Signature) => unknown,
): Readonly<Record<string, unknown>> {
  const table: Record<string, unknown> = {};
  for (const name in signatures) table[symbolOf(name)] = describe(signatures[name]);
  return table;
}

interface SymbolLibrary {
  readonly symbols: Readonly<Record<string, Call>>;
}

interface Deno {
  dlopen(path: string, symbols: Readonly<Record<string, unknown>>): SymbolLibrary;
  readonly UnsafePointer: { of(buffer: ArrayBuffer): unknown; value(pointer: unknown): bigint | number; create(address: bigint): unknown };
  readonly UnsafePointerView: new (pointer: unknown) => { getCString(): string };
}

function denoInterface(deno: Deno): ForeignInterface {
  const types = { i32: "i32", size: "usize", void: "void" };
  return {
    open(path, signatures, symbolOf) {
      const describe = ({ takes, gives }: Signature) => ({ parameters: takes.map((type) => types[type]), result: types[gives] });
      const { symbols } = deno.dlopen(path, symbolTable(signatures, symbolOf, describe));
      return functionsOf(signatures, (name) => symbols[symbolOf(name)]);
    },
    addressOf: (buffer) => Number(deno.UnsafePointer.value(deno.UnsafePointer.of(buffer))),
    textAt: (address) => new deno.UnsafePointerView(deno.UnsafePointer.create(BigInt(address))).getCString(),
  };
}

interface Bun {
  dlopen(path: string, symbols: Readonly<Record<string, unknown>>): SymbolLibrary;
  ptr(buffer: ArrayBuffer): number;
  readonly CString: new (address: number) => { toString(): string };
}

function bunInterface(bun: Bun): ForeignInterface {
  const types = { i32: "i32", size: "ptr", void: "void" };
  return {
    open(path, signatures, symbolOf) {
      const describe = ({ takes, gives }: Signature) => ({ args: takes.map((type) => types[type]), returns: types[gives] });
      const { symbols } = bun.dlopen(path, symbolTable(signatures, symbolOf, describe));
      return functionsOf(signatures, (name) => symbols[symbolOf(name)]);
    },
    addressOf: (buffer) => bun.ptr(buffer),
    textAt: (address) => new bun.CString(address).toString(),
  };
}

interface Koffi {
  load(path: string): { func(symbol: string, result: string, parameters: readonly string[]): Call };
  address(buffer: ArrayBuffer): bigint;
  decode(address: bigint, type: string, length: number): unknown;
}

function koffiInterface(koffi: Koffi): ForeignInterface {
  const types = { i32: "int32_t", size: "uintptr_t", void: "void" };
  return {
    open(path, signatures, symbolOf) {
      const library = koffi.load(path);
      const find = (symbol: string, { takes, gives }: Signature): Call => {
        const parameters = takes.map((type) => types[type]);
        return library.func(symbol, types[gives], parameters);
      };
      return functionsOf(signatures, (name, signature) => find(symbolOf(name), signature));
    },
    addressOf: (buffer) => Number(koffi.address(buffer)),
    textAt: (address) => String(koffi.decode(BigInt(address), "char", -1)),
  };
}

function findKoffi(places: readonly string[]): Koffi | null {
  const modules = builtinModule("node:module");
  if (!isModuleLoader(modules)) return null;
  for (const place of places) {
    try {
      const koffi = modules.createRequire(place)("koffi");
      if (isKoffi(koffi)) return koffi;
    } catch {
      continue;
    }
  }
  return null;
}

interface ModuleLoader {
  createRequire(place: string): (name: string) => unknown;
}

function isModuleLoader(value: unknown): value is ModuleLoader {
  return hasFunctions(value, "createRequire");
}

function isDeno(value: unknown): value is Deno {
  return hasFunctions(value, "dlopen", "UnsafePointer", "UnsafePointerView");
}

function isBun(value: unknown): value is Bun {
  return hasFunctions(value, "dlopen", "ptr", "CString");
}

function isKoffi(value: unknown): value is Koffi {
  return hasFunctions(value, "load", "address", "decode");
}
