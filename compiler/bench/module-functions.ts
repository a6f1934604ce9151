/** The kernels of one instance of a module, called with numbers whatever the width of its addresses. */
import { internal } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { KernelCall } from "../native/kernels.ts";

/** What calling a kernel needs: plain data, which can be sent to another thread. */
export interface KernelSignature {
  readonly name: string;
  /** Of each parameter, whether it is an i64: a pointer of a module with 64-bit addresses. */
  readonly isWide: readonly boolean[];
}

/** The signatures of `kernels` in a module that needs `features`. */
export function signaturesOf(kernels: readonly Kernel[], features: readonly string[]): readonly KernelSignature[] {
  const hasWidePointers = features.includes("memory64");
  return kernels.map(({ name, parameters }) => ({ name, isWide: parameters.map(({ access }) => hasWidePointers && access !== "scalar") }));
}

/** Instantiates a module of bare kernels; one function for each signature, in their order. */
export function moduleFunctions(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  signatures: readonly KernelSignature[],
): readonly ((args: KernelCall) => void)[] {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return signatures.map(({ name, isWide }) => {
    const exported = exports[name];
    if (!isKernel(exported)) return internal(`${name} is no function`);
    if (!isWide.includes(true)) {
      return (args) => {
        exported(...args);
      };
    }
    return (args) => {
      exported(...args.map((arg, i) => (isWide[i] ? BigInt(arg) : arg)));
    };
  });
}

function isKernel(value: unknown): value is (...args: readonly (number | bigint)[]) => void {
  return typeof value === "function";
}
