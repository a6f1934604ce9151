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
export type LocalType = "i32" | "f32" | "v128";

const localTypes = { i32: binaryen.i32, f32: binaryen.f32, v128: binaryen.v128 } as const;
export const pageBytes = 65536;
const memoryName = "memory";

export interface MemoryImport {
  /** Initial size and maximum, in pages. */
  readonly pages: number;
}

/** A module under construction. */
export class Assembler {
  readonly #module = new binaryen.Module();

  constructor(memory: MemoryImport) {
    this.#module.setFeatures(binaryen.Features.SIMD128 | binaryen.Features.MutableGlobals | binaryen.Features.SignExt);
    this.#module.setMemory(memory.pages, memory.pages, null, [], false, false, memoryName);
    this.#module.addMemoryImport(memoryName, "env", "memory");
  }

  // The instruction namespaces, as binaryen has them.
  get i32() {
    return this.#module.i32;
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
  call(name: string, args: readonly Expression[]): Expression {
    return this.#module.call(name, [...args], binaryen.none);
  }
  get(local: number, type: LocalType): Expression {
    return this.#module.local.get(local, localTypes[type]);
  }
  set(local: number, value: Expression): Expression {
    return this.#module.local.set(local, value);
  }

  /** Adds a function of i32 parameters and no result. `locals` follow the parameters. */
  addFunction(name: string, parameters: number, locals: readonly LocalType[], body: readonly Expression[]): void {
    const types = locals.map((type) => localTypes[type]);
    this.#module.addFunction(
      name,
      binaryen.createType(Array<number>(parameters).fill(binaryen.i32)),
      binaryen.none,
      types,
      this.block(body),
    );
  }
  exportFunction(name: string): void {
    this.#module.addFunctionExport(name, name);
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
      this.#module.optimize();
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
