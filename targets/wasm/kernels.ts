/** A module of bare kernels, each exported under its own name: what the conformance tests and the microbenchmarks run. */
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { Assembler, type MemoryImport } from "./assembler.ts";
import { lowerKernel } from "./lower.ts";

export interface KernelModule {
  readonly binary: Uint8Array;
  /** What an engine must have beside fixed SIMD. */
  readonly features: readonly string[];
}

/** Emits `kernels` over an imported memory; their pointers are i64 in a module of 64-bit addresses, else i32. */
export function emitKernels(
  kernels: readonly Kernel[],
  { optimize = true, ...memory }: MemoryImport & { readonly optimize?: boolean },
): KernelModule {
  const asm = new Assembler(memory);
  for (const kernel of kernels) {
    lowerKernel(asm, kernel);
    asm.exportFunction(kernel.name);
  }
  const { binary, dispose } = asm.finish({ optimize });
  dispose();
  return { binary, features: asm.features };
}
