/** A module of bare kernels, each exported under its own name: what the conformance tests and the microbenchmarks run. */
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { Assembler } from "./assembler.ts";
import { lowerKernel } from "./lower.ts";

/** Emits `kernels` over an imported memory of exactly `pages` pages. */
export function emitKernels(
  kernels: readonly Kernel[],
  { pages, optimize = true }: { readonly pages: number; readonly optimize?: boolean },
): Uint8Array {
  const asm = new Assembler({ pages });
  for (const kernel of kernels) {
    lowerKernel(asm, kernel);
    asm.exportFunction(kernel.name);
  }
  const { binary, dispose } = asm.finish({ optimize });
  dispose();
  return binary;
}
