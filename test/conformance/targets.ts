/**
 * The code that conformance holds to the kernel interpreter: one row a target and instruction set. A row says which dot atoms it
 * has and how its kernels are built and called on a memory image; nothing else in this folder knows targets.
 */

import { moduleInstance } from "../../compiler/bench/instance.ts";
import { required } from "../../compiler/errors.ts";
import type { DotAtom } from "../../compiler/kernel/atom.ts";
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { dotInstructions, type OperationName } from "../../compiler/kernel/ops.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";
import { detectFeatures } from "../../runtime/features.ts";
import { newMemory } from "../../runtime/wasm-engine.ts";
import { relaxed, simd128 } from "../../targets/wasm/atoms.ts";
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
  /**
   * What is enough for `npm test`, because to build or to run kernels takes its time: of every row all kernels, every form of kernel, or some kernels.
   * test/long has all of all targets.
   */
  readonly enough: "all" | "forms" | "some";
  /** Why it cannot run here; null where it can. */
  readonly skip: string | null;
  readonly build: (kernels: readonly Kernel[], options: BuildOptions) => Promise<Built>;
}

const pageBytes = 65536;
const cacheLine = 64;

export const targets: readonly ConformanceTarget[] = [
  { name: "wasm simd128", atoms: [simd128], lacks: dotInstructions, like: null, enough: "all", skip: null, build: buildWasm },
  {
    name: "wasm relaxed",
    atoms: [relaxed],
    // Its dot takes unsigned numbers of seven bits, which the cases of the operation do not keep to; its atom's cases do.
    lacks: dotInstructions,
    like: "wasm simd128",
    enough: "forms",
    skip: detectFeatures().has("relaxed") ? null : "this engine lacks relaxed SIMD",
    build: buildWasm,
  },
  ...cTargets,
  {
    name: "wasm simd128 memory64",
    atoms: [simd128],
    lacks: dotInstructions,
    like: null,
    // Addresses alone differ.
    enough: "forms",
    skip: detectFeatures().has("memory64") ? null : "this engine lacks memory64",
    build: buildWide,
  },
];

/** Those that run on this machine. */
export const runnable = targets.filter(({ skip }) => skip === null);

/** Whether a target shares its code with no other that runs here. */
export const isDistinct = ({ like }: ConformanceTarget): boolean => like === null || !runnable.some(({ name }) => name === like);

/** Those among them that share code with no other. */
export const distinct = runnable.filter(isDistinct);

/** Those that show that a fault would be seen: one of each way in which code is run. */
export const probed = distinct.filter(({ build }, i) => build === buildWasm || i === 1);

/** One module of all kernels, passed by wabt and webassemblyjs before it runs. */
async function buildWasm(kernels: readonly Kernel[], options: BuildOptions): Promise<Built> {
  const pages = Math.ceil(options.memoryBytes / pageBytes);
  return await buildModule(kernels, options, { addresses: 32, pages, start: 0, create: () => newMemory(pages, []) });
}

/** The same with 64-bit addresses, on both sides of what 32 bits reach: half of the kernels' memory lies above it. */
async function buildWide(kernels: readonly Kernel[], options: BuildOptions): Promise<Built> {
  const start = 2 ** 32 - cacheLine * Math.ceil(options.memoryBytes / 2 / cacheLine);
  return await buildModule(kernels, options, { addresses: 64, pages: widePages, start, create: wideMemory });
}

/** Pages that nobody touches take no room, but every memory of this size makes V8 collect garbage: one serves all. */
const widePages = 65536 + 64;
let wide: WebAssembly.Memory | null = null;

function wideMemory(): WebAssembly.Memory {
  return (wide ??= newMemory(widePages, ["memory64"]));
}

interface Place {
  readonly addresses: 32 | 64;
  /** Of the memory. */
  readonly pages: number;
  /** Address of the first byte that kernels are given. */
  readonly start: number;
  readonly create: () => WebAssembly.Memory;
}

async function buildModule(
  kernels: readonly Kernel[],
  { memoryBytes, optimize }: BuildOptions,
  { addresses, pages, start, create }: Place,
): Promise<Built> {
  const emitted = emitKernels(kernels, { pages, optimize, addresses });
  await checkModule(emitted.binary, { memoryPages: pages, addresses, functions: kernels.map(({ name }) => name) });
  const { memory, functions } = moduleInstance(kernels, emitted, create());
  const parametersOf = new Map(kernels.map(({ name, parameters }) => [name, parameters]));
  return {
    memory: memory.subarray(start, start + roundUp(memoryBytes, pageBytes)),
    call: (kernel, args) => {
      const parameters = required(parametersOf.get(kernel), kernel);
      required(functions.get(kernel), kernel).call(args.map((arg, i) => (parameters[i]?.access === "scalar" ? arg : start + arg)));
    },
  };
}
