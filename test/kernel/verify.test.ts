/** The verifier accepts what the builder records, and names what is wrong with anything else. Faults are made in the text. */

import { describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { recordKernel } from "../../compiler/kernel/builder.ts";
import { i32, vector, type Kernel, type Let } from "../../compiler/kernel/ir.ts";
import { parseKernel } from "../../compiler/kernel/parse.ts";
import { operations } from "../../compiler/kernel/ops.ts";
import { operandRules } from "../../compiler/kernel/rules.ts";
import { verifyKernel } from "../../compiler/kernel/verify.ts";
import { double, libraryKernels, motley } from "./support.ts";

test.each([double, motley, ...libraryKernels])("$name passes", (kernel) => {
  expect(verifyKernel(kernel)).toEqual([]);
});

test("unused parameters are returned", () => {
  const kernel = recordKernel("idle", "one of two", (b) => {
    const out = b.pointer("out", "write", "");
    b.scalar("n", "");
    b.store(b.int(1), out);
  });
  expect(verifyKernel(kernel).map(({ name }) => name)).toEqual(["n"]);
});

/** `line` in a kernel where %x, %rw and %out are pointers, %n and %m are i32, %v is f32x4 and %a is f32. */
function withLines(...lines: readonly string[]): Kernel {
  return parseKernel(`// a kernel with a fault
kernel fault(
  %x.0: ptr read
  %out.1: ptr write
  %rw.2: ptr read-write
  %n.3: i32 scalar
) {
  %4: i32 = const(8)
  %5: f32x4 = load %x.0[%n.3]
  %6: f32 = load %x.0[%n.3]
  var @sum.7: f32 = %6
  var @at.8: ptr = %x.0
${lines.map((line) => `  ${line}\n`).join("")}}
`);
}

const faults: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["a value defined twice", ["%5: i32 = const(1)"], /%5 is defined twice in: %5: i32 = const\(1\)/],
  ["a loop index defined before", ["for %i.5 from %4 to %n.3 step 1 {", "}"], /%5 is defined twice/],
  [
    "a value out of scope",
    ["if %4 {", "%20: i32 = const(1)", "}", "store %out.1[%20] = %6"],
    /%20 is not in scope as i32 in: store %out.1\[%20\]/,
  ],
  ["a value of the other branch", ["if %4 {", "%20: i32 = const(1)", "} else {", "store %out.1[%20] = %6", "}"], /%20 is not in scope/],
  ["a loop index after its loop", ["for %i.20 from %4 to %n.3 step 1 {", "}", "store %out.1[%20] = %6"], /%20 is not in scope/],
  ["an unknown operation", ["%20: f32 = fma(%6, %6, %6)"], /no operation fma/],
  ["operands that do not fit", ["%20: f32x4 = %5 + %6"], /add does not take \(f32x4, f32\) in: %20: f32x4 = %5 \+ %6/],
  ["too many operands", ["%20: f32 = abs(%6, %6)"], /abs takes 1 to 1 operands/],
  ["too few operands", ["%20: f32 = select(%4, %6)"], /select takes 3 to 3 operands/],
  ["another result type", ["%20: i32 = %6 + %6"], /add gives f32/],
  ["a scalar byte", ["%20: i8 = const(1)"], /%20: no type i8/],
  ["constants where none belong", ["%20: f32 = add(%6, %6, 1)"], /takes no constants/],
  ["a shift as wide as the element", ["%20: i32 = %4 << 32"], /shift is not one integer from 0 to 31/],
  ["a shift by a fraction", ["%20: i32 = %4 >> 0.5"], /shift is not one integer/],
  ["a division by 0", ["%20: i32 = divU(%4, 0)"], /divisor is not one integer from 1/],
  ["a fraction as an integer", ["%20: i32 = const(0.5)"], /literal is no i32/],
  ["a literal that is too wide", ["%20: i8x2 = const(256)"], /literal is no i8/],
  ["a literal that is no f32", ["%20: f32 = const(0.1)"], /literal is no f32/],
  ["a lane that is not there", ["%20: f32 = lane(%5, 4)"], /lane does not take/],
  ["a lane of a fraction", ["%20: f32x2 = shuffle(%5, 0, 0.5)"], /lane indices are no integers/],
  ["a splat of other lanes", ["%20: f32x4 = splat(%6, 5)"], /lanes is not one integer from 2 to 4/],
  ["a fractional stride", ["%20: ptr = advance(%x.0, %4, 0.5)"], /stride is not one integer/],
  ["a pointer from a shuffle", ["%20: ptr = shuffle(%x.0, 0)"], /pointers come from advance only/],
  ["a load of more lanes than the type has", ["%20: f32x4 = load %x.0[%4] lanes 5"], /from 1 to 4/],
  ["a load before the pointer", ["%20: f32 = load %x.0[%4 + -4]"], /offset and count/],
  ["a load of written memory", ["%20: f32 = load %out.1[%4]"], /out is only written/],
  ["a load of written memory, advanced", ["%20: ptr = advance(%out.1, %4, 4)", "%21: f32 = load %20[%4]"], /out is only written/],
  ["a load from a number", ["%20: f32 = load %4[%4]"], /load does not take/],
  ["a store to read memory", ["store %x.0[%4] = %6"], /x is only read in: store %x.0\[%4\] = %6/],
  [
    "a store to read memory, advanced",
    ["%20: ptr = advance(%x.0, %4, 4)", "%21: ptr = advance(%20, %4, 4)", "store %21[%4] = %6"],
    /x is only read/,
  ],
  ["a store to read memory by a variable", ["%20: ptr = @at.8", "store %20[%4] = %6"], /x is only read/],
  ["a store to a number", ["store %4[%4] = %6"], /a store needs a pointer/],
  ["a store of too many lanes", ["store %out.1[%4] = %5 lanes 5"], /5 lanes of f32x4/],
  ["a store of no lanes", ["store %out.1[%4] = %5 lanes 0"], /0 lanes of f32x4/],
  ["a store before the pointer", ["store %out.1[%4 + -4] = %6"], /offset is no natural number/],
  ["a prefetch of a number", ["prefetch %4[%4]"], /a prefetch needs a pointer/],
  ["a prefetch before the pointer", ["prefetch %x.0[%4 + -4]"], /offset is no natural number/],
  ["a float stored as bytes", ["store %out.1[%4] = %6 as i8"], /f32 cannot lie in memory as i8/],
  ["a stored pointer", ["store %out.1[%4] = %x.0"], /ptr cannot lie in memory as ptr/],
  ["a variable declared twice", ["var @sum.7: f32 = %6"], /@7 is declared twice/],
  ["a variable that takes a value's number", ["var @other.5: f32 = %6"], /@5 is declared twice/],
  ["another type assigned", ["@sum.7 = %4"], /i32 for a f32 variable/],
  ["a variable out of scope", ["if %4 {", "var @w.20: f32 = %6", "}", "%21: f32 = @w.20"], /@w.20 is not declared here/],
  ["a pointer variable that changes its parameter", ["@at.8 = %out.1"], /pointer does not lead to x/],
  ["a float condition", ["if %6 {", "}"], /condition is no i32/],
  ["a float bound", ["for %i.20 from %4 to %6 step 1 {", "}"], /loop bounds are no i32/],
  ["a loop that stands still", ["for %i.20 from %4 to %n.3 step 0 {", "}"], /loop step is no positive integer/],
  ["a loop name with a digit first", ["for %1i.20 from %4 to %n.3 step 1 {", "}"], /loop name 1i is illegal/],
  ["a variable name with a digit first", ["var @1v.20: f32 = %6"], /variable name 1v is illegal/],
];

describe("refused", () => {
  test("the kernel without a fault passes", () => {
    expect(verifyKernel(withLines("%20: f32 = @sum.7", "store %rw.2[%4] = %20", "store %out.1[%4] = %4 as i8"))).toEqual([]);
  });

  test.each(faults)("%s", (_, lines, message) => {
    const kernel = withLines(...lines);
    const verify = (): unknown => verifyKernel(kernel);
    expect(verify).toThrow(LfmcError);
    expect(verify).toThrow(expect.objectContaining({ code: "kernel/invalid", subject: "kernel fault" }));
    expect(verify).toThrow(message);
  });

  test.each<readonly [string, Partial<Kernel>, RegExp]>([
    ["a kernel's name with capitals", { name: "Double" }, /name does not match/],
    ["a summary of two lines", { summary: "twice\nthe numbers" }, /summary is not one trimmed line/],
    [
      "parameters of one name",
      { parameters: double.parameters.map((parameter) => ({ ...parameter, name: "x" })) },
      /name is illegal or taken/,
    ],
    [
      "a name with a dash",
      { parameters: double.parameters.map((parameter) => ({ ...parameter, name: `${parameter.name}-1` })) },
      /illegal/,
    ],
    [
      "pointers as scalars",
      { parameters: double.parameters.map((parameter) => ({ ...parameter, access: "scalar" })) },
      /does not go with ptr/,
    ],
    ["a note of two lines", { parameters: double.parameters.map((parameter) => ({ ...parameter, note: "a\nb" })) }, /note is not one/],
  ])("%s", (_, change, message) => {
    expect(() => verifyKernel({ ...double, ...change })).toThrow(message);
  });

  test("an operand whose type is not its definition's", () => {
    const [n] = double.parameters.slice(-1).map(({ value }) => value);
    const wrong: Let = {
      kind: "let",
      result: { id: 50, type: vector("i32", 2) },
      op: "add",
      args: [0, 1].map(() => ({ id: n?.id ?? 0, type: vector("i32", 2) })),
      immediates: [],
    };
    expect(n?.type).toEqual(i32);
    expect(() => verifyKernel({ ...double, body: [wrong] })).toThrow("%2 is not in scope as i32x2");
  });
});

test("every operation has its rule for operands", () => {
  expect(Object.keys(operandRules)).toEqual(Object.keys(operations));
});
