/** Bare kernels as functions over one memory, for measuring: a WebAssembly module's, or native ones built from C. */
import { newMemory } from "../../runtime/wasm-engine.ts";
import type { EmittedKernels, Target, TargetVariant } from "../../targets/target.ts";
import { required } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { buildKernels, type KernelCall } from "../native/kernels.ts";
import { moduleFunctions, signaturesOf } from "./module-functions.ts";
import { startTeam } from "./team.ts";

export interface KernelFunction {
  call(args: KernelCall): void;
  /** Runs the calls at once, each on a thread of its own: of a module, as many as its threads. Absent where there is one thread. */
  together?(calls: readonly KernelCall[]): Promise<void>;
}

export interface KernelInstance {
  readonly memory: Uint8Array;
  /** What functions know the memory's first byte as. */
  readonly base: number;
  /** By kernel name. */
  readonly functions: ReadonlyMap<string, KernelFunction>;
  /** Ends the threads that wait for calls, if there are any. */
  close(): Promise<void>;
}

type KernelModule = Omit<Extract<EmittedKernels, { kind: "module" }>, "kind">;

/**
 * What memory holds: as f16 and f32 a small normal number. Weights of it keep a model's values finite, and none of them is slow to
 * compute with.
 */
const fillByte = 0x3c;

/**
 * Instantiates `kernels` over at least `bytes` of memory, all of it touched: untouched pages would all read the same zeros. A module can run on
 * several `threads` if the variant is one of threads; native kernels always can.
 */
export async function instantiateKernels(
  target: Target,
  variant: TargetVariant,
  kernels: readonly Kernel[],
  bytes: number,
  threads = 1,
): Promise<KernelInstance> {
  const memoryBytes = Math.ceil(bytes / target.memory.page) * target.memory.page;
  const emitted = target.emitKernels(kernels, variant, memoryBytes);
  const instance =
    emitted.kind === "source"
      ? { ...(await buildKernels(kernels, emitted.text, memoryBytes)), close: () => Promise.resolve() }
      : await moduleTeam(kernels, emitted, memoryBytes / target.memory.page, threads);
  instance.memory.fill(fillByte);
  return instance;
}

/** Instantiates a module of bare kernels, for one thread, over a memory of the size that it was emitted for. */
export function moduleInstance(kernels: readonly Kernel[], { binary, features }: KernelModule, memory: WebAssembly.Memory): KernelInstance {
  const functions = moduleFunctions(new WebAssembly.Module(Uint8Array.from(binary)), memory, signaturesOf(kernels, features));
  return {
    memory: new Uint8Array(memory.buffer),
    base: 0,
    functions: new Map(kernels.map(({ name }, i) => [name, { call: required(functions[i], name) }])),
    close: () => Promise.resolve(),
  };
}

/** The same for as many threads as asked for. */
async function moduleTeam(kernels: readonly Kernel[], emitted: KernelModule, pages: number, threads: number): Promise<KernelInstance> {
  const { binary, features } = emitted;
  const memory = newMemory(pages, features);
  if (threads === 1) return moduleInstance(kernels, emitted, memory);
  const module = new WebAssembly.Module(Uint8Array.from(binary));
  const signatures = signaturesOf(kernels, features);
  const team = await startTeam(threads, { module, memory, signatures });
  const alone = moduleFunctions(module, memory, signatures);
  const functions = kernels.map(({ name }, i): [string, KernelFunction] => {
    const together = (calls: readonly KernelCall[]): Promise<void> =>
      new Promise((resolve) => {
        team.call(i, calls);
        resolve();
      });
    return [name, { call: required(alone[i], name), together }];
  });
  return { memory: new Uint8Array(memory.buffer), base: 0, functions: new Map(functions), close: () => team.close() };
}
