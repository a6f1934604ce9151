/**
 * The code that conformance holds to the kernel interpreter: one row a target and instruction set. A row says which dot atoms it
 * has and how its kernels are built and called on a memory image; nothing else in this folder knows targets.
 */

import type { DotAtom } from "../../compiler/kernel/atom.ts";
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { dotInstructions, type OperationName } from "../../compiler/kernel/ops.ts";
import { simd128 } from "../../targets/wasm/atoms.ts";
import { emitKernels } from "../../targets/wasm/kernels.ts";
import { checkModule } from "./independent.ts";
import { cTargets } from "./native/targets.ts";

/** Built kernels over one memory. */
export interface Built {
  readonly memory: Uint8Array;
  /** Calls a kernel by name; pointers are offsets into the memory. May throw where the kernel leaves the memory. */
  readonly call: (kernel: string, args: readonly number[]) => void;
  /** Ends what runs the kernels, where that is a process. */
  readonly close?: () => void;
}

export interface BuildOptions {
  readonly memoryBytes: number;
  readonly optimize: boolean;
  /** Kernels that are broken on purpose may make a compiler complain. */
  readonly mayWarn?: boolean;
}

export interface ConformanceTarget {
  readonly name: string;
  /** Every atom of the target; each is tested. */
  readonly atoms: readonly DotAtom[];
  /** Operations that it has no code for. */
  readonly lacks: readonly OperationName[];
  /** The target whose code it shares for everything but its atoms' instructions: only products with those are tested again. */
  readonly like: string | null;
  /** Why it cannot run here; null where it can. */
  readonly skip: string | null;
  readonly build: (kernels: readonly Kernel[], options: BuildOptions) => Promise<Built>;
}

const pageBytes = 65536;

export const targets: readonly ConformanceTarget[] = [
  { name: "wasm simd128", atoms: [simd128], lacks: dotInstructions, like: null, skip: null, build: buildWasm },
  ...cTargets,
];

/** Those that run on this machine. */
export const runnable = targets.filter(({ skip }) => skip === null);

/** Those among them that share code with no other. */
export const distinct = runnable.filter(({ like }) => like === null || !runnable.some(({ name }) => name === like));

/** Those that show that a fault would be seen: one of each way in which code is run. */
export const probed = distinct.filter(({ build }, i) => build === buildWasm || i === 1);

/** One module of all kernels, passed by wabt and webassemblyjs before it runs. */
async function buildWasm(kernels: readonly Kernel[], { memoryBytes, optimize }: BuildOptions): Promise<Built> {
  const pages = Math.ceil(memoryBytes / pageBytes);
  const binary = Uint8Array.from(emitKernels(kernels, { pages, optimize }));
  await checkModule(binary, { memoryPages: pages, functions: kernels.map(({ name }) => name) });
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { instance } = await WebAssembly.instantiate(binary, { env: { memory } });
  return {
    memory: new Uint8Array(memory.buffer),
    call: (kernel, args) => {
      const exported = instance.exports[kernel];
      if (typeof exported !== "function") throw new Error(`the module exports no ${kernel}`);
      Reflect.apply(exported, undefined, args);
    },
  };
}
