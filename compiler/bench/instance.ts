/** Bare kernels as functions over one memory, for measuring: a WebAssembly module's, or native ones built from C. */
import { newMemory } from "../../runtime/wasm-engine.ts";
import type { EmittedKernels, Target, TargetVariant } from "../../targets/target.ts";
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

type KernelModule = Omit<Extract<EmittedKernels, { kind: "module" }>, "kind">;

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
      : moduleInstance(kernels, emitted, newMemory(memoryBytes / target.memory.page, emitted.features));
  instance.memory.fill(fillByte);
  return instance;
}

/** Instantiates a module of bare kernels over a memory of the size that it was emitted for. */
export function moduleInstance(kernels: readonly Kernel[], { binary, features }: KernelModule, memory: WebAssembly.Memory): KernelInstance {
  const isWide = features.includes("memory64");
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(binary)), { env: { memory } });
  const functions = kernels.map(({ name, parameters }): [string, KernelFunction] => {
    const exported = exports[name];
    if (!isKernel(exported)) return internal(`${name} is no function`);
    const passed = (args: KernelCall) => args.map((arg, i) => (parameters[i]?.access === "scalar" ? arg : BigInt(arg)));
    return [
      name,
      {
        call: (args) => {
          exported(...(isWide ? passed(args) : args));
        },
      },
    ];
  });
  return { memory: new Uint8Array(memory.buffer), base: 0, functions: new Map(functions) };
}

function isKernel(value: unknown): value is (...args: readonly (number | bigint)[]) => void {
  return typeof value === "function";
}
