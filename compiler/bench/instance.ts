/** Bare kernels as functions over one memory, for measuring: a WebAssembly module's, or native ones built from C. */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { internal } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { buildKernels, type KernelCall } from "../native/kernels.ts";

export interface KernelFunction {
  call(args: KernelCall): void;
  /** Runs the calls at once, each on a thread of its own; absent where there is one thread. */
  together?(calls: readonly KernelCall[]): Promise<void>;
}

export interface KernelInstance {
  readonly memory: Uint8Array;
  /** What functions know the memory's first byte as. */
  readonly base: number;
  /** By kernel name. */
  readonly functions: ReadonlyMap<string, KernelFunction>;
}

/**
 * What memory holds: as f16 and f32 a small normal number. Weights of it keep a model's values finite, and none of them is slow to
 * compute with.
 */
const fillByte = 0x3c;

/** Instantiates `kernels` over at least `bytes` of memory, all of it touched: untouched pages would all read the same zeros. */
export async function instantiateKernels(
  target: Target,
  variant: TargetVariant,
  kernels: readonly Kernel[],
  bytes: number,
): Promise<KernelInstance> {
  const memoryBytes = Math.ceil(bytes / target.memory.page) * target.memory.page;
  const emitted = target.emitKernels(kernels, variant, memoryBytes);
  const instance =
    emitted.kind === "source"
      ? await buildKernels(kernels, emitted.text, memoryBytes)
      : moduleInstance(kernels, emitted.binary, memoryBytes / target.memory.page);
  instance.memory.fill(fillByte);
  return instance;
}

function moduleInstance(kernels: readonly Kernel[], binary: Uint8Array, pages: number): KernelInstance {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(binary)), { env: { memory } });
  const functions = kernels.map(({ name }): [string, KernelFunction] => {
    const exported = exports[name];
    if (!isKernel(exported)) return internal(`${name} is no function`);
    return [
      name,
      {
        call: (args) => {
          exported(...args);
        },
      },
    ];
  });
  return { memory: new Uint8Array(memory.buffer), base: 0, functions: new Map(functions) };
}

function isKernel(value: unknown): value is (...args: KernelCall) => void {
  return typeof value === "function";
}
