/** Every operation of the kernel IR, on every type that it takes, emitted by every target against its meaning: bit for bit on arbitrary bits. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { bytesOfElement, bytesOfType, type Element, type Kernel, type Statement, type Type } from "../../compiler/kernel/ir.ts";
import { dotInstructions, operations, readElement, writeElement, type OperationName } from "../../compiler/kernel/ops.ts";
import { verifyKernel } from "../../compiler/kernel/verify.ts";
import { canary } from "./image.ts";
import { attempts, operandBytes, operationCases, type OperandKind, type OperationCase } from "./operation-cases.ts";
import { distinct, probed, runnable, type Built, type ConformanceTarget } from "./targets.ts";

const names = Object.keys(operations) as readonly OperationName[];
/** Other ones in every run of the tests. */
const runsPerCase = 15;
const casesOf = new Map(names.map((op) => [op, operationCases(op)]));

test("every operation has cases, and every case its operation", () => {
  expect(Object.keys(attempts).toSorted()).toEqual([...names].toSorted());
  for (const op of names) expect(operationCases(op).length, op).toBeGreaterThan(0);
});

/** Where the operands and the result lie in the memory. */
const inputAt = 1024;
const outputAt = 4096;
const memoryBytes = 8192;

/** Numbers as an element holds them: no NaN, whose bits the numeric contract leaves open, and for 4 bytes not the bits of one. */
function numbers(element: Element): fc.Arbitrary<number> {
  const edges = [0, -0, 1, -1, 0.5, -1.5, 2.5, 2 ** -149, 2 ** -126, 16777216, 2147483520, -2147483648, Infinity, -Infinity];
  const floats = fc.oneof(fc.float({ noNaN: true }), fc.constantFrom(...edges), fc.constantFrom(0, -0));
  if (element === "f32") return floats;
  const bits = 8 * bytesOfElement(element);
  const any = fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
  const ends = fc.constantFrom(0, 1, -1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1);
  return element === "i32" ? fc.oneof(any, ends, fc.integer({ min: -3, max: 3 })) : fc.oneof(any, ends);
}

function operandNumbers(type: Type, kind: OperandKind): fc.Arbitrary<readonly number[]> {
  const lane = {
    any: numbers(type.element),
    mask: type.lanes === 1 ? fc.integer({ min: -1, max: 1 }) : fc.constantFrom(0, -1),
    index: fc.integer({ min: 0, max: 3 }),
  }[kind];
  return fc.array(lane, { minLength: type.lanes, maxLength: type.lanes });
}

/** The bytes of `in` for lanes of each operand. */
function inputBytes({ operands }: OperationCase, lanes: readonly (readonly number[])[]): Uint8Array {
  const bytes = new Uint8Array(Math.max(1, operands.length) * operandBytes);
  const view = new DataView(bytes.buffer);
  operands.forEach(({ type: { element } }, i) => {
    lanes[i]?.forEach((lane, j) => {
      writeElement(view, i * operandBytes + j * bytesOfElement(element), element, lane);
    });
  });
  return bytes;
}

/** What the kernel leaves behind `out`: by the interpreter, and by the target's code. */
function outcomes(each: OperationCase, built: Built, input: Uint8Array): { readonly expected: Uint8Array; readonly actual: Uint8Array } {
  const bytes = bytesOfType(each.result) + 16;
  const expected = new Uint8Array(bytes).fill(canary);
  interpretKernel(each.kernel, [{ bytes: input.slice() }, { bytes: expected }]);
  built.memory.set(input, inputAt);
  built.memory.fill(canary, outputAt, outputAt + bytes);
  built.call(each.kernel.name, [inputAt, outputAt]);
  return { expected, actual: built.memory.slice(outputAt, outputAt + bytes) };
}

/** Bytes with every NaN lane written the same way. */
function withoutNaN(bytes: Uint8Array, { element, lanes }: Type): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let lane = 0; element === "f32" && lane < lanes; lane++) {
    if (Number.isNaN(readElement(view, 4 * lane, element))) writeElement(view, 4 * lane, element, NaN);
  }
  return bytes;
}

/** The property that a case's code leaves the interpreter's bytes. */
function agrees(each: OperationCase, built: Built): fc.IPropertyWithHooks<[readonly (readonly number[])[]]> {
  const inputs = fc.tuple(...each.operands.map(({ type, kind }) => operandNumbers(type, kind)));
  return fc.property(inputs, (lanes) => {
    const { expected, actual } = outcomes(each, built, inputBytes(each, lanes));
    const [found, wanted] = [withoutNaN(actual, each.result), withoutNaN(expected, each.result)];
    // Bytes that are equal, nearly always, are seen to be so faster than by an assertion.
    if (Buffer.compare(found, wanted) !== 0) expect(found, each.name).toEqual(wanted);
  });
}

/** Builds kernels for `use`, and ends the process that runs them, if there is one. */
async function withBuilt(
  target: ConformanceTarget,
  kernels: readonly Kernel[],
  optimize: boolean,
  use: (built: Built) => void,
): Promise<void> {
  const built = await target.build(kernels, { memoryBytes, optimize });
  try {
    use(built);
  } finally {
    built.close?.();
  }
}

describe.each(runnable)("$name", (target) => {
  const instructions: readonly OperationName[] = distinct.includes(target) ? names : dotInstructions;
  const own = instructions.filter((op) => !target.lacks.includes(op));
  describe.each([true, false])("optimised: %s", (optimize) => {
    test("every operation", { timeout: 240_000 }, async () => {
      const cases = own.flatMap((op) => casesOf.get(op) ?? []);
      for (const { kernel } of cases) verifyKernel(kernel);
      const kernels = cases.map(({ kernel }) => kernel);
      await withBuilt(target, kernels, optimize, (built) => {
        for (const each of cases) fc.assert(agrees(each, built), { numRuns: runsPerCase });
      });
    });
  });
});

describe.each(probed)("$name", (target) => {
  test.for([
    ["add", "sub"],
    ["min", "max"],
    ["lt", "eq"],
    ["widenS", "widenU"],
    ["shrS", "shrU"],
    ["and", "or"],
  ] as const)("%s in the code of %s is caught, on every type", async ([op, wrong]) => {
    const names = new Set(operationCases(wrong).map(({ name }) => name.slice(wrong.length)));
    const pairs = operationCases(op).filter(({ immediates, name }) => immediates[0] !== 0 && names.has(name.slice(op.length)));
    expect(pairs.length).toBeGreaterThan(0);
    const wrongKernels = pairs.map(({ name, kernel }) => ({ ...kernel, name, body: exchangeOperation(kernel.body, op, wrong) }));
    await withBuilt(target, wrongKernels, false, (built) => {
      const survivors = pairs.filter((each) => !fc.check(agrees(each, built), { numRuns: 200 }).failed);
      expect(survivors.map(({ name }) => name)).toEqual([]);
    });
  });
});

function exchangeOperation(statements: readonly Statement[], op: OperationName, wrong: OperationName): readonly Statement[] {
  return statements.map((statement) => (statement.kind === "let" && statement.op === op ? { ...statement, op: wrong } : statement));
}
