/**
 * A program as one WebAssembly module: the kernels, and `forward(rows, logits)`, which runs the whole forward pass over the rows
 * that the host wrote into memory. The module imports its memory, whose size is the plan's, and holds no state of its own; at most the
 * weights, which `embed()` copies to their place.
 */
import { internal } from "../../compiler/errors.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";
import type { Program, Step } from "../../compiler/plan/program.ts";
import { moduleLabel, moduleSection } from "../../runtime/manifest.ts";
import { Assembler, pageBytes, type Expression } from "./assembler.ts";
import { withData } from "./data-section.ts";
import { lowerKernel } from "./lower.ts";
import { addPool, stepLocals } from "./pool.ts";

export interface EmittedModule {
  /** The binary, in pieces that follow one another: the weights, if any, are the caller's own bytes. */
  readonly pieces: readonly Uint8Array[];
  /** The same module as text, without the weights' bytes. */
  readonly wat: string;
  /** What an engine must have: the variant's, and what this program needs beside them. */
  readonly features: readonly string[];
}

export interface ModuleOptions {
  /** The variant's. */
  readonly name: string;
  /** The variant's too, by the names that the runtime knows. */
  readonly features: readonly string[];
  /** The plan's memory, whole pages; each thread's scratch lies behind it. */
  readonly memoryBytes: number;
  /** Whether threads share it. */
  readonly threads: boolean;
  /** Asks for the WAT too. */
  readonly text: boolean;
  /** The packed weights, where the module is to hold them. */
  readonly weights?: Uint8Array | undefined;
}

/** A host may start as many threads; their scratch is all that it costs. */
const mostThreads = 64;
const cacheLine = 64;

/** Emits, optimises and validates the module. */
export function emitModule(program: Program, options: ModuleOptions): EmittedModule {
  const { name, memoryBytes, threads, text, weights } = options;
  const scratchBytes = roundUp(program.memory.threadBytes, cacheLine);
  const pagesFor = (count: number): number => Math.ceil((memoryBytes + (threads ? count * scratchBytes : 0)) / pageBytes);
  const asm = new Assembler({
    pages: pagesFor(1),
    maximum: pagesFor(threads ? mostThreads : 1),
    shared: threads,
    data: weights !== undefined,
  });
  for (const kernel of program.kernels) lowerKernel(asm, kernel);
  if (threads) addPool(asm, poolProgram(asm, program), (thread) => asm.advance(asm.address(memoryBytes), thread, scratchBytes));
  else addForward(asm, program.steps);
  if (weights) addEmbed(asm, program.memory.weights.offset, weights.length);
  asm.addText(moduleSection, moduleLabel({ name, threads }));
  const emitted = asm.finish({ optimize: true });
  const wat = text ? emitted.text() : "";
  emitted.dispose();
  const features = [...options.features, ...asm.features];
  // The engine that compiles need not have the features that the module wants of another.
  const isForEvery = features.every((feature) => feature === "simd128");
  if (isForEvery && !WebAssembly.validate(Uint8Array.from(emitted.binary))) internal("the engine rejects the emitted module");
  return { pieces: weights ? withData(emitted.binary, weights) : [emitted.binary], wat, features };
}

function addEmbed(asm: Assembler, offset: number, bytes: number): void {
  asm.addFunction("embed", [], [], [asm.takeData(offset, bytes)]);
  asm.exportFunction("embed");
}

function addForward(asm: Assembler, steps: readonly Step[]): void {
  const counts = { rows: () => asm.get(0, "i32"), logits: () => asm.get(1, "i32") };
  asm.addFunction(
    "forward",
    ["i32", "i32"],
    [],
    steps.map((step) => call(asm, step, { ...counts, from: noShares, to: noShares, scratch: noShares })),
  );
  asm.exportFunction("forward");
}

function noShares(): never {
  return internal("a module of one thread has no shares");
}

function poolProgram(asm: Assembler, { steps }: Program): Parameters<typeof addPool>[1] {
  const counts = {
    rows: () => asm.get(stepLocals.rows, "i32"),
    logits: () => asm.get(stepLocals.logits, "i32"),
    scratch: () => asm.get(stepLocals.scratch, "ptr"),
  };
  return { steps, run: (step, bounds) => call(asm, step, { ...counts, ...bounds }) };
}

/** Where the arguments of a step that are no addresses come from. */
type Values = Readonly<Record<"rows" | "logits" | "from" | "to" | "scratch", () => Expression>>;

/** One kernel call; addresses are literals, those of scratch from the thread's own on. */
function call(asm: Assembler, step: Step, values: Values): Expression {
  const args = step.arguments.map((argument) => {
    if (argument.kind !== "address") return values[argument.of]();
    const { space, address } = argument;
    return space === "thread" ? asm.advance(values.scratch(), asm.i32.const(address)) : asm.address(address);
  });
  return asm.call(step.kernel, args);
}
