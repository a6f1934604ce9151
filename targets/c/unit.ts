/**
 * A program as one C unit for one instruction set: the vector functions that it uses, its kernels, and `forward`, one thread's part of the
 * forward pass. The rest of the library (library/) knows nothing of kernels.
 */
import type { Kernel } from "../../compiler/kernel/ir.ts";
import type { Program, Space, Step, StepArgument } from "../../compiler/plan/program.ts";
import type { Isa } from "./isa/isa.ts";
import { lowerKernel, parameterText } from "./lower.ts";
import { functionSymbol } from "./names.ts";
import { unitSymbol, withPrefix } from "./project.ts";
import { selfTest, selfTestWords } from "./self-test.ts";
import { Vocabulary } from "./vocabulary.ts";
import { callText, comment, CWriter } from "./writer.ts";

/** The unit's source, in the library of the artefact `name`. */
export function emitUnit(program: Program, isa: Isa, name: string): string {
  const vocabulary = new Vocabulary(isa);
  const body = new CWriter();
  for (const kernel of [...program.kernels, selfTest]) {
    lowerKernel({ isa, vocabulary, writer: body }, kernel);
    body.line();
  }
  writeForward(body, program, isa);
  body.line();
  writeSelfTest(body);
  body.line();
  body.block(
    `const lfm_unit ${unitSymbol(isa.name)} =`,
    () => {
      body.line(`"${isa.name}", forward, self_test, ${program.steps.length - 1}`);
    },
    ";",
  );
  const { head, tail } = frame(isa);
  const text = [
    comment(`The forward pass of ${name} for ${isa.name}: vector functions, kernels, and the order in which they run. Written by lfmc.`),
    '#include "lfm_internal.h"',
    "",
    ...head,
    "",
    ...vocabulary.definitions(body.toString()),
    "",
    body.toString(),
    ...tail,
  ];
  return withPrefix(text.join("\n"), name);
}

/** Bare kernels as functions that a library exports, for tests and microbenchmarks; nothing of an artefact is needed. */
export function emitKernelSource(kernels: readonly Kernel[], isa: Isa): string {
  const vocabulary = new Vocabulary(isa);
  const body = new CWriter();
  for (const kernel of kernels) {
    if (isa.enter === null) lowerKernel({ isa, vocabulary, writer: body }, kernel, "");
    else {
      const inner = { ...kernel, name: `${kernel.name}_between` };
      lowerKernel({ isa, vocabulary, writer: body }, inner);
      writeEntered(body, kernel, inner.name, isa);
    }
    body.line();
  }
  const prototypes = kernels.map((kernel) => `${headOf(kernel)};`);
  const { head, tail } = frame(isa);
  return [...contraction, ...head, "", ...vocabulary.definitions(body.toString()), "", ...prototypes, "", body.toString(), ...tail].join(
    "\n",
  );
}

/** A kernel between what a thread must do before and after its kernels. */
function writeEntered(writer: CWriter, kernel: Kernel, inner: string, { enter, leave }: Isa): void {
  writer.block(headOf(kernel), () => {
    if (enter !== null) writer.line(enter);
    writer.line(`${functionSymbol(inner)}(${kernel.parameters.map(({ name }) => name).join(", ")});`);
    if (leave !== null) writer.line(leave);
  });
}

/** `void kernel(const unsigned char *restrict x, int32_t rows)`. */
function headOf({ name, parameters }: Kernel): string {
  return `void ${functionSymbol(name)}(${parameters.map(parameterText).join(", ")})`;
}

/** No fused multiply-add, whatever flags the build has. */
export const contraction = [
  "#if defined(__clang__)",
  "#pragma STDC FP_CONTRACT OFF",
  "#elif defined(__GNUC__)",
  '#pragma GCC optimize("fp-contract=off")',
  "#endif",
];

const architectures = {
  // gcc's -O2 leaves loops over lanes rolled, and their vectors in memory: a third slower.
  any: ["#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)", '#pragma GCC optimize("O3")', "#endif"],
  x86: ["#if !defined(__x86_64__) && !defined(_M_X64)", '#error "this unit is for x86-64"', "#endif"],
  // gcc's scheduling before register allocation moves loads so far ahead that the hot loops of products spill: a sixth more instructions.
  arm: [
    "#if !defined(__aarch64__) && !defined(_M_ARM64)",
    '#error "this unit is for AArch64"',
    "#elif defined(__GNUC__) && !defined(__clang__)",
    '#pragma GCC optimize("no-schedule-insns")',
    "#endif",
  ],
} as const;

const listed = (features: readonly string[]): string => features.join(",");

/** Features as gcc names them. On AArch64 it has instructions for dot products under the architecture that brought them alone. */
const gccFeatures = {
  any: listed,
  x86: listed,
  arm: (features: readonly string[]): string => ["arch=armv8.2-a", ...features].join("+"),
} as const;

/** What comes before a unit's functions, and after the last: headers, and the instruction set, which no flags of the build need name. */
export function frame({ architecture, targets, headers }: Isa): { readonly head: readonly string[]; readonly tail: readonly string[] } {
  const includes = [...headers, "math.h", "stddef.h", "stdint.h", "string.h"].map((header) => `#include <${header}>`);
  if (targets.length === 0) return { head: [...architectures[architecture], ...includes], tail: [] };
  const choice = [
    "#if defined(__clang__)",
    `#pragma clang attribute push(__attribute__((target("${listed(targets)}"))), apply_to = function)`,
    "#elif defined(__GNUC__)",
    `#pragma GCC target("${gccFeatures[architecture](targets)}")`,
    "#endif",
  ];
  return {
    head: [...architectures[architecture], ...includes, "", ...choice],
    tail: ["#if defined(__clang__)", "#pragma clang attribute pop", "#endif", ""],
  };
}

/** One thread's part: every step on its share, and a barrier after each, because the next may need what all threads wrote. */
function writeForward(writer: CWriter, { steps }: Program, isa: Isa): void {
  writer.line(comment("One thread's part of the forward pass over the rows of a call."));
  writer.block(`static void forward(const lfm_call *call)`, () => {
    writeSpaces(writer, steps);
    if (steps.some(({ units }) => units !== null)) writer.line("lfm_range share;");
    if (isa.enter !== null) writer.line(isa.enter);
    steps.forEach((step, i) => {
      writer.line();
      writeStep(writer, step);
      if (i < steps.length - 1) writer.line("lfm_wait(call);");
    });
    if (isa.leave !== null) writer.line(isa.leave);
  });
}

/** Declares the spaces and counts of a call that the steps use. */
export function writeSpaces(writer: CWriter, steps: readonly Step[]): void {
  const args = steps.flatMap((step) => step.arguments);
  const uses = (space: Space): boolean => args.some((arg) => arg.kind === "address" && arg.space === space);
  if (uses("memory")) writer.line("unsigned char *const memory = call->memory;");
  if (uses("weights")) writer.line("const unsigned char *const weights = call->weights;");
  if (uses("thread")) writer.line("unsigned char *const scratch = call->scratch;");
  for (const count of ["rows", "logits"] as const) {
    if (args.some((arg) => arg.kind === "count" && arg.of === count) || steps.some(({ units }) => units === count)) {
      writer.line(`const int32_t ${count} = call->${count};`);
    }
  }
}

function writeStep(writer: CWriter, step: Step): void {
  writer.line(comment(step.label));
  if (step.units === null) {
    writer.block("if (call->thread == 0)", () => {
      writer.line(stepText(step));
    });
    return;
  }
  writer.line(`share = lfm_share(call, ${step.units});`);
  writer.line(stepText(step));
}

/** The kernel's call, in the names that writeSpaces declares; bounds are those of `share`. */
export function stepText(step: Step): string {
  return `${callText(functionSymbol(step.kernel), step.arguments.map(argumentText), "  ")};`;
}

const spaces = { memory: "memory", weights: "weights", thread: "scratch" } as const;

function argumentText(argument: StepArgument): string {
  if (argument.kind === "count") return argument.of;
  if (argument.kind === "bound") return `share.${argument.of}`;
  const { space, address, note } = argument;
  return `${spaces[space]}${address === 0 ? "" : ` + ${addressText(address)}`} ${comment(note)}`;
}

/** An offset may pass 32 bits. */
function addressText(address: number): string {
  return address < 2 ** 31 ? String(address) : `(ptrdiff_t)${address}LL`;
}

function writeSelfTest(writer: CWriter): void {
  const { operands, results } = selfTestWords();
  const table = (name: string, words: Uint32Array): void => {
    const texts = [...words].map((word) => `0x${word.toString(16).padStart(8, "0")}u`);
    writer.block(
      `static const uint32_t ${name}[] =`,
      () => {
        for (let at = 0; at < texts.length; at += 8) writer.line(`${texts.slice(at, at + 8).join(", ")},`);
      },
      ";",
    );
  };
  writer.line(comment("0 where this unit computes as the kernel interpreter does: no contraction, no reassociation, no flush to zero."));
  writer.block("static int self_test(void)", () => {
    table("operands", operands);
    table("expected", results);
    // The compiler must not compute the results itself.
    writer.line("uint32_t given[sizeof operands / sizeof operands[0]];");
    writer.line("uint32_t found[sizeof expected / sizeof expected[0]];");
    writer.line("for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) given[i] = *(const volatile uint32_t *)&operands[i];");
    writer.line(`${selfTest.name}((const unsigned char *)given, (unsigned char *)found);`);
    writer.line("return memcmp(found, expected, sizeof expected) != 0;");
  });
}
