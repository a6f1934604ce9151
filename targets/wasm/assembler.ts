/**
 * WebAssembly through binaryen: the only file that imports it. It adds nothing to the instruction set; it keeps track of locals,
 * writes structured loops, and turns a finished module into checked, optimised bytes. An `Expression` is owned by the tree it is
 * put into and must be used once.
 */
import binaryen from "binaryen";
import { internal } from "../../compiler/errors.ts";

export type Expression = number;
/** Makes a fresh expression each time: for values that are read more than once. */
export type Reader = () => Expression;
/** `ptr` is as wide as the memory's addresses. */
export type LocalType = "i32" | "i64" | "f32" | "v128" | "ptr";
/** Bits of an address: 64 where memory64 is needed. */
export type AddressBits = 32 | 64;

export const pageBytes = 65536;
/** The most pages that engines give a memory. */
export const mostPages: Readonly<Record<AddressBits, number>> = { 32: 65536, 64: 262144 };
const memoryName = "memory";
/** What binaryen calls the first of a memory's segments. */
const segmentName = "0";
/** binaryen's other passes make trees of values, which V8 computes in the order of their uses. */
const orderKeepingPasses = ["precompute", "vacuum", "reorder-locals"];

export interface MemoryImport {
  /** Initial size, in pages. */
  readonly pages: number;
  /** The most pages that a host may give; by default not more. */
  readonly maximum?: number;
  /** By default 32 where they reach all of the memory. */
  readonly addresses?: AddressBits;
  /** Whether threads share it; by default not. */
  readonly shared?: boolean;
  /** Whether the module has a data segment to copy from, empty until the binary is finished (data-section.ts); by default not. */
  readonly data?: boolean;
}

/** A module under construction. */
export class Assembler {
  /** Names of the features that the module needs beside fixed SIMD, as the runtime knows them. */
  readonly features: readonly string[];
  readonly #module = new binaryen.Module();
  readonly #addresses: AddressBits;
  readonly #functions: { readonly name: string; readonly keepsOrder: boolean }[] = [];

  constructor({ pages, addresses = pages > mostPages[32] ? 64 : 32, shared = false, maximum = pages, data = false }: MemoryImport) {
    const { SIMD128, RelaxedSIMD, MutableGlobals, SignExt, BulkMemory, Memory64, Atomics, MVP } = binaryen.Features;
    const isWide = addresses === 64;
    this.#addresses = addresses;
    this.features = [...(isWide ? ["memory64"] : []), ...(shared ? ["threads"] : [])];
    this.#module.setFeatures(
      SIMD128 | RelaxedSIMD | MutableGlobals | SignExt | (isWide ? Memory64 : MVP) | (shared ? Atomics : MVP) | (data ? BulkMemory : MVP),
    );
    const segments = data ? [{ passive: true, offset: 0, data: new Uint8Array(0) }] : [];
    this.#module.setMemory(pages, Math.min(maximum, mostPages[addresses]), null, segments, shared, isWide, memoryName);
    this.#module.addMemoryImport(memoryName, "env", "memory", shared);
  }

  // The instruction namespaces, as binaryen has them.
  get i32() {
    return this.#module.i32;
  }
  get i64() {
    return this.#module.i64;
  }
  get f32() {
    return this.#module.f32;
  }
  get v128() {
    return this.#module.v128;
  }
  get i8x16() {
    return this.#module.i8x16;
  }
  get i16x8() {
    return this.#module.i16x8;
  }
  get i32x4() {
    return this.#module.i32x4;
  }
  get f32x4() {
    return this.#module.f32x4;
  }

  select(condition: Expression, yes: Expression, no: Expression): Expression {
    return this.#module.select(condition, yes, no);
  }
  block(statements: readonly Expression[]): Expression {
    return this.#module.block(null, [...statements]);
  }
  if(condition: Expression, then: Expression, otherwise?: Expression): Expression {
    return this.#module.if(condition, then, otherwise);
  }
  /** Runs `body`, and again while `condition` holds. */
  loop(label: string, body: readonly Expression[], condition: Expression): Expression {
    return this.#module.loop(label, this.#module.block(null, [...body, this.#module.br_if(label, condition)]));
  }
  /** Runs `body`, which goes on from the start where it says `again(label)`. */
  forever(label: string, body: readonly Expression[]): Expression {
    return this.#module.loop(label, this.block(body));
  }
  again(label: string, condition?: Expression): Expression {
    return this.#module.br(label, condition);
  }
  /** Runs the case of that number; the last one where there is none. */
  switch(index: Expression, cases: readonly Expression[]): Expression {
    const labels = cases.map((_, i) => `case${i}`);
    const last = labels.at(-1) ?? internal("no cases");
    const start = this.#module.switch(labels, last, index);
    const nested = cases.reduce((inner, body, i) => {
      const block = this.#module.block(labels[i] ?? "", [inner]);
      return this.block([block, body, this.#module.br("cases")]);
    }, start);
    return this.#module.block("cases", [nested]);
  }
  call(name: string, args: readonly Expression[], result?: LocalType): Expression {
    return this.#module.call(name, [...args], result ? this.#type(result) : binaryen.none);
  }
  return(value?: Expression): Expression {
    return this.#module.return(value);
  }
  drop(value: Expression): Expression {
    return this.#module.drop(value);
  }

  /** Sleeps while the i64 at `byte` is `expected`, at most `nanoseconds` (negative: for ever); 0 woken, 1 not equal, 2 time is up. */
  wait(byte: number, expected: Expression, nanoseconds: Expression): Expression {
    return this.#module.memory.atomic.wait64(this.address(byte), expected, nanoseconds, memoryName);
  }
  /** Wakes all who wait at `byte`. */
  notify(byte: number): Expression {
    return this.#module.drop(this.#module.memory.atomic.notify(this.address(byte), this.#module.i32.const(-1), memoryName));
  }
  /** Copies the first `bytes` bytes of the data segment to the memory from `byte` on, and lets go of the segment. */
  takeData(byte: number, bytes: number): Expression {
    const { i32, memory, data } = this.#module;
    return this.block([memory.init(segmentName, this.address(byte), i32.const(0), i32.const(bytes), memoryName), data.drop(segmentName)]);
  }
  get(local: number, type: LocalType): Expression {
    return this.#module.local.get(local, this.#type(type));
  }
  set(local: number, value: Expression): Expression {
    return this.#module.local.set(local, value);
  }

  /**
   * A vector literal that compilers take for an unknown value. V8 builds a known one anew wherever it is used, in three instructions, inside
   * the innermost loops too; this one is OR'ed with a zero that only we know to be one: no memory has 2^31 pages.
   */
  opaque(bytes: readonly number[]): Expression {
    const { v128, i32, i32x4, memory } = this.#module;
    const pages = memory.size(memoryName, this.#addresses === 64);
    const zero = i32.shr_u(this.#addresses === 64 ? i32.wrap(pages) : pages, i32.const(31));
    return v128.or(v128.const([...bytes]), i32x4.splat(zero));
  }

  /** The pointer to a byte of the memory. */
  address(byte: number): Expression {
    return this.#addresses === 64 ? this.#module.i64.const(BigInt(byte)) : this.#module.i32.const(byte | 0);
  }
  /** pointer + index * stride; the index is an i32, whose sign counts, the stride a number of bytes. */
  advance(pointer: Expression, index: Expression, stride = 1): Expression {
    const { i32, i64 } = this.#module;
    if (this.#addresses === 32) return i32.add(pointer, stride === 1 ? index : i32.mul(index, i32.const(stride)));
    const distance = i64.extend_s(index);
    return i64.add(pointer, stride === 1 ? distance : i64.mul(distance, i64.const(BigInt(stride))));
  }

  #type(type: LocalType): binaryen.Type {
    if (type === "ptr") return this.#addresses === 64 ? binaryen.i64 : binaryen.i32;
    return binaryen[type];
  }

  /**
   * i32x4.relaxed_dot_i8x16_i7x16_add_s, the only relaxed instruction there is here: sum + four products a lane. Exact where every byte of
   * `u` is below 128; an engine without the feature refuses the module. binaryen's JavaScript has no name for it.
   */
  relaxedDot(sum: Expression, u: Expression, s: Expression): Expression {
    const ternary: unknown = Reflect.get(binaryen, "_BinaryenSIMDTernary");
    const operation: unknown = Reflect.get(binaryen, "RelaxedDotI8x16I7x16AddSToVecI32x4");
    if (!isTernary(ternary)) return internal("binaryen has no relaxed dot");
    return ternary(Reflect.get(this.#module, "ptr"), operation, s, u, sum);
  }

  /**
   * Adds a function. `locals` follow the parameters. `keepsOrder` forbids to move a value to where it is used: in kernels
   * whose values were put in order so that they fit the registers.
   */
  addFunction(
    name: string,
    parameters: readonly LocalType[],
    locals: readonly LocalType[],
    body: readonly Expression[],
    { keepsOrder = false, result }: { readonly keepsOrder?: boolean; readonly result?: LocalType } = {},
  ): void {
    this.#functions.push({ name, keepsOrder });
    const typesOf = (types: readonly LocalType[]) => types.map((type) => this.#type(type));
    const results = result ? this.#type(result) : binaryen.none;
    this.#module.addFunction(name, binaryen.createType(typesOf(parameters)), results, typesOf(locals), this.block(body));
  }
  exportFunction(name: string): void {
    this.#module.addFunctionExport(name, name);
  }

  /** Adds a custom section that holds `text`. */
  addText(section: string, text: string): void {
    this.#module.addCustomSection(section, new TextEncoder().encode(text));
  }

  /** Validates and optimises; kernels stay functions of their own. Call once, last. */
  finish({ optimize }: { readonly optimize: boolean }): {
    readonly binary: Uint8Array;
    readonly text: () => string;
    readonly dispose: () => void;
  } {
    if (!this.#module.validate()) internal("binaryen rejects the emitted module");
    if (optimize) {
      binaryen.setOptimizeLevel(3);
      binaryen.setShrinkLevel(0);
      binaryen.setAlwaysInlineMaxSize(0);
      binaryen.setFlexibleInlineMaxSize(0);
      binaryen.setOneCallerInlineMaxSize(0);
      for (const { name, keepsOrder } of this.#functions) {
        if (keepsOrder) this.#module.runPassesOnFunction(name, orderKeepingPasses);
        else this.#module.optimizeFunction(name);
      }
      if (!this.#module.validate()) internal("binaryen rejects the optimised module");
    }
    const module = this.#module;
    return {
      binary: module.emitBinary(),
      text: () => module.emitText(),
      dispose: () => {
        module.dispose();
      },
    };
  }
}

type Ternary = (module: unknown, operation: unknown, a: Expression, b: Expression, c: Expression) => Expression;

function isTernary(value: unknown): value is Ternary {
  return typeof value === "function";
}
