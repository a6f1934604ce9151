/**
 * Steps as a C program that times them one by one: the loop of `library/lfm_kernels.c` round a generated file with the kernels, a function
 * for each step, which calls its kernel as a unit's `forward` does, and their table.
 */
import { readFileSync } from "node:fs";
import type { Step } from "../../compiler/plan/program.ts";
import type { PackageFile, TimedSteps } from "../target.ts";
import type { Isa } from "./isa/isa.ts";
import { lowerKernel } from "./lower.ts";
import { contraction, frame, stepText, writeSpaces } from "./unit.ts";
import { Vocabulary } from "./vocabulary.ts";
import { comment, CWriter } from "./writer.ts";

const libraryFiles = ["lfm_kernels.h", "lfm_kernels.c"];

/** The program's sources, for one instruction set; it takes the rows of the call and how often to run, and prints JSON. */
export function emitTimer(timed: TimedSteps, isa: Isa): readonly PackageFile[] {
  const library = libraryFiles.map((path) => ({ path, text: readFileSync(new URL(`library/${path}`, import.meta.url), "utf8") }));
  return [...library, { path: "kernels.c", text: emitSteps(timed, isa) }];
}

function emitSteps({ kernels, steps, bytes, rowsOffset }: TimedSteps, isa: Isa): string {
  const vocabulary = new Vocabulary(isa);
  const body = new CWriter();
  for (const kernel of kernels) {
    lowerKernel({ isa, vocabulary, writer: body }, kernel);
    body.line();
  }
  steps.forEach((step, i) => {
    writeStepFunction(body, step, i);
    body.line();
  });
  body.block(
    "const lfm_step lfm_steps[] =",
    () => {
      steps.forEach(({ kernel, label }, i) => {
        body.line(`{"${kernel}", "${label}", ${functionOf(i)}},`);
      });
    },
    ";",
  );
  body.line("const size_t lfm_step_count = sizeof lfm_steps / sizeof lfm_steps[0];");
  body.line(`const size_t lfm_memory_bytes = ${bytes.memory}, lfm_weight_bytes = ${bytes.weights}, lfm_scratch_bytes = ${bytes.thread};`);
  body.line(`const size_t lfm_rows_offset = ${rowsOffset};`);
  body.line(`void lfm_enter(void) ${blockOf(isa.enter)}`);
  body.line(`void lfm_leave(void) ${blockOf(isa.leave)}`);
  const { head, tail } = frame(isa);
  const text = [
    comment(`The steps of a forward pass for ${isa.name}, one function each. Written by lfmc.`),
    '#include "lfm_kernels.h"',
    ...contraction,
    ...head,
    "",
    ...vocabulary.definitions(body.toString()),
    "",
    body.toString(),
    ...tail,
  ];
  return text.join("\n");
}

function writeStepFunction(writer: CWriter, step: Step, index: number): void {
  writer.block(`static void ${functionOf(index)}(const lfm_call *call)`, () => {
    writeSpaces(writer, [step]);
    if (step.units !== null) writer.line(`const lfm_range share = lfm_share(call, ${step.units});`);
    writer.line(stepText(step));
  });
}

function blockOf(statement: string | null): string {
  return statement === null ? "{}" : `{ ${statement} }`;
}

function functionOf(index: number): string {
  return `step_${index}`;
}
