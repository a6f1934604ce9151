/** Printed kernels read back to the same kernel, and text that lfmc did not print is refused with its line. */

import { describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { recordKernel } from "../../compiler/kernel/builder.ts";
import { f32, type Kernel } from "../../compiler/kernel/ir.ts";
import { parseKernel } from "../../compiler/kernel/parse.ts";
import { printKernel } from "../../compiler/kernel/print.ts";
import { double, libraryKernels, motley } from "./support.ts";

const doubleText = `// twice the numbers
kernel double(
  %x.0: ptr read // numbers [n] f32
  %y.1: ptr write // twice the numbers [n] f32
  %n.2: i32 scalar // how many
) {
  %3: i32 = const(0)
  for %i.4 from %3 to %n.2 step 1 {
    %6: i32 = %i.4 << 2
    %7: f32 = load %x.0[%6]
    %8: f32 = %7 + %7
    store %y.1[%6] = %8
  }
}
`;

test("a kernel reads like a program", () => {
  expect(printKernel(double)).toBe(doubleText);
});

test("parts, narrow stores and else have their form", () => {
  const lines = printKernel(motley)
    .split("\n")
    .map((line) => line.trim().replace(/%\w+\.\d+|%\d+/g, "%"));
  expect(lines).toEqual(
    expect.arrayContaining([
      "%: i8x8 = load %[% + 5] lanes 3",
      "%: i32 = load16 %[%]",
      "%: ptr = advance(%, %, 2)",
      "store %[%] = % as i16",
      "%: i32 = load8 %[% + 7]",
      "} else {",
      "store %[%] = % lanes 5",
      "%: f32x4 = loadSplat %[% + 4]",
      "store %[% + 36] = % lanes 2",
    ]),
  );
  expect(lines.some((line) => line.includes("const(0, -0, ") && line.includes("Infinity, -Infinity, 3)"))).toBe(true);
});

describe("round trip", () => {
  const kernels: readonly Kernel[] = [double, motley, ...libraryKernels];
  test.each(kernels)("$name", (kernel) => {
    const text = printKernel(kernel);
    const back = parseKernel(text);
    expect(back).toStrictEqual(kernel);
    expect(printKernel(back)).toBe(text);
  });

  test("a literal of every order of magnitude", () => {
    const literals = [5e-324, 1e-45, -1.4e-45, 3.4e38, 1e21, 123456789, -0.5, 0, -0, Infinity, NaN].map(Math.fround);
    const kernel = recordKernel("literals", "odd numbers", (b) => {
      b.store(b.lanes("f32", literals), b.pointer("out", "write", ""));
    });
    expect(parseKernel(printKernel(kernel))).toStrictEqual(kernel);
  });

  test("an empty kernel", () => {
    const kernel: Kernel = { name: "nothing", summary: "does nothing", parameters: [], body: [] };
    expect(parseKernel(printKernel(kernel))).toStrictEqual(kernel);
    expect(recordKernel("nothing", "does nothing", (b) => b.load(f32, b.pointer("x", "read", ""))).body).toEqual([]);
  });
});

test.each([
  ["no summary", "// twice the numbers\n", "", 1],
  ["no head", "kernel double(", "kernel double", 2],
  ["an unknown access", "ptr read", "ptr peek", 3],
  ["an unknown type", "%7: f32", "%7: f64", 10],
  ["an undefined value", "%7 + %7", "%7 + %66", 11],
  ["an undeclared variable", "%7 + %7", "@v.66", 11],
  ["an unknown symbol", "%7 + %7", "%7 ** %7", 11],
  ["a constant that is no number", "const(0)", "const(zero)", 7],
  ["no operation", "%7 + %7", "six", 11],
  ["no statement", "store %y.1[%6] = %8", "stare", 12],
  ["a loop that is none", "for %i.4", "four %i.4", 8],
  ["an else without if", "  }\n}", "  } else {\n  }\n}", 13],
  ["no end", "  }\n}\n", "  }", 14],
  ["text after the end", "  }\n}\n", "  }\n}\nmore", 14],
])("%s is refused", (_, from, to, line) => {
  const text = doubleText.replace(from, to);
  expect(text).not.toBe(doubleText);
  const read = (): Kernel => parseKernel(text);
  expect(read).toThrow(LfmcError);
  expect(read).toThrow(expect.objectContaining({ code: "kernel/syntax", subject: `kernel text, line ${line}` }));
});
