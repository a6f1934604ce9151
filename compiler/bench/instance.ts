/** Bare kernels as functions over one memory, for measuring. */
import type { Target } from "../../targets/target.ts";
import { internal } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";

export type KernelFunction = (...args: readonly number[]) => void;

export interface KernelInstance {
  readonly memory: WebAssembly.Memory;
  /** By kernel name. */
  readonly functions: ReadonlyMap<string, KernelFunction>;
}

/**
 * What memory holds: as f16 and f32 a small normal number. Weights of it keep a model's values finite, and none of them is slow to
 * compute with.
 */
const fillByte = 0x3c;

/** Instantiates `kernels` over at least `bytes` of memory, all of it touched: untouched pages would all read the same zeros. */
export function instantiateKernels(target: Target, kernels: readonly Kernel[], bytes: number): KernelInstance {
  const pages = Math.ceil(bytes / target.memory.page);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  new Uint8Array(memory.buffer).fill(fillByte);
  const module = new WebAssembly.Module(Uint8Array.from(target.emitKernels(kernels, { pages })));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const functions = new Map(
    kernels.map(({ name }): [string, KernelFunction] => {
      const exported = exports[name];
      return [name, isFunction(exported) ? exported : internal(`${name} is no function`)];
    }),
  );
  return { memory, functions };
}

function isFunction(value: unknown): value is KernelFunction {
  return typeof value === "function";
}
