/**
 * A program as one WebAssembly module: the kernels, and `forward(rows, logits)`, which runs the whole forward pass over the rows
 * that the host wrote into memory. The module imports its memory, whose size is the plan's, and holds no state of its own.
 */
import { internal } from "../../compiler/errors.ts";
import type { Program, Step } from "../../compiler/plan/program.ts";
import { Assembler, pageBytes, type Expression } from "./assembler.ts";
import { lowerKernel } from "./lower.ts";

export interface EmittedModule {
  readonly binary: Uint8Array;
  /** The same module as text. */
  readonly wat: string;
  /** What an engine must have beside fixed SIMD, by the names that the runtime knows. */
  readonly features: readonly string[];
}

/** Emits, optimises and validates the module over a memory of exactly `memoryBytes`, whole pages; `text` asks for the WAT too. */
export function emitModule(
  program: Program,
  { memoryBytes, text }: { readonly memoryBytes: number; readonly text: boolean },
): EmittedModule {
  const asm = new Assembler({ pages: memoryBytes / pageBytes });
  for (const kernel of program.kernels) lowerKernel(asm, kernel);
  asm.addFunction(
    "forward",
    ["i32", "i32"],
    [],
    program.steps.map((step) => call(asm, step)),
  );
  asm.exportFunction("forward");
  const emitted = asm.finish({ optimize: true });
  const wat = text ? emitted.text() : "";
  emitted.dispose();
  // The engine that compiles need not have the features that the module wants of another.
  if (asm.features.length === 0 && !WebAssembly.validate(Uint8Array.from(emitted.binary)))
    internal("the engine rejects the emitted module");
  return { binary: emitted.binary, wat, features: asm.features };
}

/** One kernel call: addresses are literals, counts are `forward`'s parameters. */
function call(asm: Assembler, step: Step): Expression {
  const args = step.arguments.map((argument) => {
    if (argument.kind === "bound") return internal("a module of one thread has no shares");
    return argument.kind === "address" ? asm.address(argument.address) : asm.get(argument.of === "rows" ? 0 : 1, "i32");
  });
  return asm.call(step.kernel, args);
}
