/** The independent check itself: it accepts what the target emits and refuses modules that are broken or not as announced. */

import { expect, test } from "vitest";
import { emitKernels } from "../../targets/wasm/kernels.ts";
import { selectRows } from "../../compiler/kernel/library/select-rows.ts";
import { double } from "../kernel/support.ts";
import { checkModule } from "./independent.ts";

const select = selectRows({ width: 5, inputStride: 8, outputStride: 8 });
const functions = ["double", select.name];
const binary = Uint8Array.from(emitKernels([double, select], { pages: 3 }).binary);

test("an emitted module passes", async () => {
  await checkModule(binary, { memoryPages: 3, functions });
});

test.each([
  ["another memory", { memoryPages: 4, functions }],
  ["a missing export", { memoryPages: 3, functions: [...functions, "triple"] }],
  ["an export too many", { memoryPages: 3, functions: ["double"] }],
])("%s is refused", async (_, shape) => {
  await expect(checkModule(binary, shape)).rejects.toThrow("instead of");
});

test("a module that is cut short is refused", async () => {
  await expect(checkModule(binary.subarray(0, binary.length - 5), { memoryPages: 3, functions })).rejects.toThrow();
});

test("a function that leaves a wrong type on its stack is refused", async () => {
  // (func (result i32) f32.const 0): well-formed, and not valid.
  const type = [1, 5, 1, 0x60, 0, 1, 0x7f];
  const code = [10, 9, 1, 7, 0, 0x43, 0, 0, 0, 0, 0x0b];
  const invalid = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...type, 3, 2, 1, 0, ...code]);
  expect(WebAssembly.validate(invalid)).toBe(false);
  await expect(checkModule(invalid, { memoryPages: 0, functions: [] })).rejects.toThrow(/type mismatch/);
});
