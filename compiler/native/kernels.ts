/** Bare kernels as native functions over one memory: a C source of theirs, built and called through koffi, which can also call on other threads. */
import type koffi from "koffi";
import { LfmcError } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { buildSource } from "./build.ts";

type Koffi = typeof koffi;

/** Arguments of a kernel: addresses and scalars. */
export type KernelCall = readonly number[];

export interface NativeFunction {
  call(args: KernelCall): void;
  /** Runs the calls at once, each on a thread of its own. */
  together(calls: readonly KernelCall[]): Promise<void>;
}

export interface NativeKernels {
  readonly memory: Uint8Array;
  /** The address of the memory's first byte, on a cache line. */
  readonly base: number;
  readonly functions: ReadonlyMap<string, NativeFunction>;
  /** Who compiled them: `gcc 12.2.0`. */
  readonly compiler: string;
}

const cacheLine = 64;

/** Builds `source`, which exports each kernel by its name, over `bytes` of memory. Throws native/compiler, io/missing without koffi. */
export async function buildKernels(kernels: readonly Kernel[], source: string, bytes: number): Promise<NativeKernels> {
  const foreign = await loadKoffi();
  const { path, compiler } = await buildSource("kernels", source);
  const library = foreign.load(path);
  const buffer = new ArrayBuffer(bytes + cacheLine);
  const start = Number(foreign.address(buffer));
  const base = Math.ceil(start / cacheLine) * cacheLine;
  const functions = kernels.map(({ name, parameters }): [string, NativeFunction] => {
    const types = parameters.map(({ access }) => (access === "scalar" ? "int32_t" : "uintptr_t"));
    const kernel = library.func(name, "void", types);
    const background = (args: KernelCall): Promise<void> =>
      new Promise((resolve, reject) => {
        kernel.async(...args, (error: Error | null) => {
          if (error) reject(error);
          else resolve();
        });
      });
    return [
      name,
      {
        call: (args) => void kernel(...args),
        together: async (calls) => {
          await Promise.all(calls.map(background));
        },
      },
    ];
  });
  return { memory: new Uint8Array(buffer, base - start, bytes), base, functions: new Map(functions), compiler: compiler.version };
}

async function loadKoffi(): Promise<Koffi> {
  try {
    return (await import("koffi")).default;
  } catch (cause) {
    throw new LfmcError("io/missing", "is not installed, and native kernels are called through it", {
      subject: "koffi",
      hint: "npm install koffi",
      cause,
    });
  }
}
