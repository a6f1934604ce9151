/**
 * A program as one WebAssembly module: the kernels, and `forward(rows, logits)`, which runs the whole forward pass over the rows
 * that the host wrote into memory. The module imports its memory, whose size is the plan's, and holds no state of its own.
 */
import { internal } from "../../compiler/errors.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";
import type { Program, Step } from "../../compiler/plan/program.ts";
import { Assembler, pageBytes, type Expression } from "./assembler.ts";
import { lowerKernel } from "./lower.ts";
import { addPool, type StepValues } from "./pool.ts";

export interface EmittedModule {
  readonly binary: Uint8Array;
  /** The same module as text. */
  readonly wat: string;
  /** What an engine must have beside fixed SIMD, by the names that the runtime knows. */
  readonly features: readonly string[];
}

export interface ModuleOptions {
  /** Whole pages: all of the memory, or of a threaded module what lies below the threads' scratch. */
  readonly memoryBytes: number;
  /** Scratch of each thread; null for a module of one thread. */
  readonly threadBytes: number | null;
  /** Whether the WAT is asked for too. */
  readonly text: boolean;
}

/** A memory has room for the scratch of so many threads at most. */
const mostThreads = 64;
const scratchAlignment = 64;

/** Emits, optimises and validates the module. A threaded one exports `serve(thread)` beside `forward`, which returns a status (pool.ts). */
export function emitModule(program: Program, { memoryBytes, threadBytes, text }: ModuleOptions): EmittedModule {
  const strideBytes = roundUp(threadBytes ?? 0, scratchAlignment);
  const pagesFor = (threads: number): number => Math.ceil((memoryBytes + threads * strideBytes) / pageBytes);
  const asm = new Assembler({ pages: pagesFor(1), mostPages: pagesFor(mostThreads), shared: threadBytes !== null });
  for (const kernel of program.kernels) lowerKernel(asm, kernel);
  if (threadBytes === null) addForward(asm, program);
  else addPool(asm, program, { start: memoryBytes, strideBytes }, (step, values) => call(asm, step, values));
  const emitted = asm.finish({ optimize: true });
  const wat = text ? emitted.text() : "";
  emitted.dispose();
  // The engine that compiles need not have the features that the module wants of another.
  if (asm.features.length === 0 && !WebAssembly.validate(Uint8Array.from(emitted.binary)))
    internal("the engine rejects the emitted module");
  return { binary: emitted.binary, wat, features: asm.features };
}

function addForward(asm: Assembler, { steps }: Program): void {
  const alone = (): Expression => internal("a module of one thread has no shares");
  const counts = { rows: () => asm.get(0, "i32"), logits: () => asm.get(1, "i32") };
  const values: StepValues = { ...counts, from: alone, to: alone, scratch: alone };
  asm.addFunction(
    "forward",
    ["i32", "i32"],
    [],
    steps.map((step) => call(asm, step, values)),
  );
  asm.exportFunction("forward");
}

/** One kernel call: addresses are literals, all else is the caller's. */
function call(asm: Assembler, step: Step, values: StepValues): Expression {
  const args = step.arguments.map((argument) => {
    if (argument.kind !== "address") return values[argument.of]();
    const { space, address } = argument;
    return space === "thread" ? asm.advance(values.scratch(), asm.i32.const(address)) : asm.address(address);
  });
  return asm.call(step.kernel, args);
}
