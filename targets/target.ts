/**
 * What a target is: a name, the variants of code it can emit, and how a program becomes files. A target makes no choices of its own:
 * kernels, tiles and addresses are the plan's.
 */
import type { DotAtom } from "../compiler/kernel/atom.ts";
import type { Kernel } from "../compiler/kernel/ir.ts";
import type { Program } from "../compiler/plan/program.ts";

export interface TargetVariant {
  /** `simd128`, … */
  readonly name: string;
  readonly features: readonly string[];
  readonly threads: boolean;
  /** Dot atoms, best first. */
  readonly atoms: readonly DotAtom[];
  /** Bytes of a vector register. */
  readonly vectorBytes: number;
}

/** One emitted unit: a module or a source file. */
export interface EmittedCode {
  /** File name in the artefact. */
  readonly path: string;
  readonly binary: Uint8Array;
  /** Readable form (WAT), where asked for. */
  readonly text: string;
}

export interface Target {
  /** As in `--target`. */
  readonly name: "wasm-simd";
  readonly variants: readonly TargetVariant[];
  /** Largest memory that a program may have, in bytes, and its unit of allocation. */
  readonly memory: { readonly largest: number; readonly page: number };
  /** Emits a variant's code for a program over a memory of `pages`; `text` asks for the readable form too. */
  readonly emit: (program: Program, variant: TargetVariant, options: { readonly pages: number; readonly text: boolean }) => EmittedCode;
  /** Emits bare kernels over a memory of `pages` pages: for conformance tests and microbenchmarks. */
  readonly emitKernels: (kernels: readonly Kernel[], options: { readonly pages: number }) => Uint8Array;
}
