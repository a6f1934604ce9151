/** What each operation means, by example: the interpreter runs one operation on constants and stores its result. */

import { expect, test } from "vitest";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import {
  bytesOfElement,
  f32,
  i32,
  printType,
  ptr,
  vector,
  type Kernel,
  type Statement,
  type Type,
  type Value,
} from "../../compiler/kernel/ir.ts";
import { operations, readElement, type Operation, type OperationName } from "../../compiler/kernel/ops.ts";

type Operand = readonly [Type, readonly number[]];

interface Case {
  readonly op: OperationName;
  readonly operands: readonly Operand[];
  readonly immediates?: readonly number[];
  readonly result: Operand;
}

const f32x2 = vector("f32", 2);
const f32x4 = vector("f32", 4);
const i32x2 = vector("i32", 2);
const i16x2 = vector("i16", 2);
const i16x4 = vector("i16", 4);
const i8x2 = vector("i8", 2);
const i8x4 = vector("i8", 4);
const i8x8 = vector("i8", 8);
const i8x16 = vector("i8", 16);
const i32x4 = vector("i32", 4);
const least = -(2 ** 31);
const tenth = Math.fround(0.1);

/** Loads read these bytes, at the index that is their only operand here. */
const memory = Uint8Array.from([0xff, 0x80, 0x01, 0x02, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0]);

const arithmetic: readonly Case[] = [
  { op: "const", operands: [], immediates: [7], result: [i16x4, [7, 7, 7, 7]] },
  { op: "const", operands: [], immediates: [1, -0], result: [f32x2, [1, -0]] },
  { op: "const", operands: [], immediates: [0.1], result: [f32, [tenth]] },
  { op: "const", operands: [], immediates: [0xf0, -1], result: [i8x2, [-16, -1]] },
  { op: "splat", operands: [[f32, [2.5]]], immediates: [2], result: [f32x2, [2.5, 2.5]] },
  {
    op: "add",
    operands: [
      [f32x2, [0.1, 2 ** 24]],
      [f32x2, [0.2, 1]],
    ],
    result: [f32x2, [Math.fround(tenth + Math.fround(0.2)), 2 ** 24]],
  },
  {
    op: "add",
    operands: [
      [i32x2, [2 ** 31 - 1, 3]],
      [i32x2, [1, -5]],
    ],
    result: [i32x2, [least, -2]],
  },
  {
    op: "sub",
    operands: [
      [f32, [1]],
      [f32, [tenth]],
    ],
    result: [f32, [Math.fround(1 - tenth)]],
  },
  {
    op: "sub",
    operands: [
      [i32x2, [least, 4]],
      [i32x2, [1, 5]],
    ],
    result: [i32x2, [2 ** 31 - 1, -1]],
  },
  {
    op: "mul",
    operands: [
      [f32x2, [tenth, -3]],
      [f32x2, [tenth, 0]],
    ],
    result: [f32x2, [Math.fround(tenth * tenth), -0]],
  },
  {
    op: "mul",
    operands: [
      [i32x2, [65537, -3]],
      [i32x2, [65537, 7]],
    ],
    result: [i32x2, [131073, -21]],
  },
  {
    op: "div",
    operands: [
      [f32x2, [1, 1]],
      [f32x2, [3, -0]],
    ],
    result: [f32x2, [Math.fround(1 / 3), -Infinity]],
  },
  {
    op: "min",
    operands: [
      [f32x4, [1, 0, -0, NaN]],
      [f32x4, [2, -0, 0, 1]],
    ],
    result: [f32x4, [1, 0, -0, NaN]],
  },
  {
    op: "max",
    operands: [
      [f32x4, [1, 0, -0, 1]],
      [f32x4, [2, -0, 0, NaN]],
    ],
    result: [f32x4, [2, 0, -0, 1]],
  },
  { op: "abs", operands: [[f32x2, [-0, -1.5]]], result: [f32x2, [0, 1.5]] },
  { op: "sqrt", operands: [[f32x2, [2, 9]]], result: [f32x2, [Math.fround(Math.SQRT2), 3]] },
  {
    op: "dotPairs",
    operands: [
      [i16x4, [1, 2, -32768, -32768]],
      [i16x4, [3, -4, -32768, -32768]],
    ],
    result: [i32x2, [-5, least]],
  },
];

const bitwise: readonly Case[] = [
  {
    op: "and",
    operands: [
      [i8x4, [-1, 0x5a, -16, 7]],
      [i8x4, [15, 15, 15, -1]],
    ],
    result: [i8x4, [15, 10, 0, 7]],
  },
  {
    op: "and",
    operands: [
      [i32, [-1]],
      [i32, [0x8000]],
    ],
    result: [i32, [0x8000]],
  },
  {
    op: "or",
    operands: [
      [i16x2, [0x0f, -32768]],
      [i16x2, [0xf0, 1]],
    ],
    result: [i16x2, [0xff, -32767]],
  },
  {
    op: "xor",
    operands: [
      [i8x2, [0x80, 3]],
      [i8x2, [0x81, 5]],
    ],
    result: [i8x2, [1, 6]],
  },
  {
    op: "mul",
    operands: [
      [i16x2, [-300, 128]],
      [i16x2, [300, 127]],
    ],
    result: [i16x2, [-24464, 16256]],
  },
  { op: "shl", operands: [[i32x2, [1, 3]]], immediates: [31], result: [i32x2, [least, least]] },
  { op: "shl", operands: [[i16x2, [0x0180, 1]]], immediates: [8], result: [i16x2, [-32768, 256]] },
  { op: "shrS", operands: [[i32x2, [-8, 9]]], immediates: [2], result: [i32x2, [-2, 2]] },
  { op: "shrS", operands: [[i16x2, [-256, 255]]], immediates: [8], result: [i16x2, [-1, 0]] },
  { op: "shrU", operands: [[i32x2, [-1, 8]]], immediates: [28], result: [i32x2, [15, 0]] },
  { op: "shrU", operands: [[i16x2, [-1, 0x7fff]]], immediates: [12], result: [i16x2, [15, 7]] },
  { op: "shrU", operands: [[i32, [-1]]], immediates: [0], result: [i32, [-1]] },
  { op: "shrU", operands: [[i8x4, [-1, 0x7f, -128, 16]]], immediates: [4], result: [i8x4, [15, 7, 8, 1]] },
  { op: "shrU", operands: [[i8x2, [-1, 1]]], immediates: [0], result: [i8x2, [-1, 1]] },
  { op: "divU", operands: [[i32, [-1]]], immediates: [7], result: [i32, [613566756]] },
  { op: "remU", operands: [[i32, [-1]]], immediates: [7], result: [i32, [3]] },
  {
    op: "lt",
    operands: [
      [f32x4, [1, -0, NaN, 2]],
      [f32x4, [2, 0, 1, 2]],
    ],
    result: [vector("i32", 4), [-1, 0, 0, 0]],
  },
  {
    op: "lt",
    operands: [
      [i32, [-1]],
      [i32, [1]],
    ],
    result: [i32, [1]],
  },
  {
    op: "eq",
    operands: [
      [f32x4, [1, -0, NaN, 2]],
      [f32x4, [2, 0, NaN, 2]],
    ],
    result: [vector("i32", 4), [0, -1, 0, -1]],
  },
  {
    op: "eq",
    operands: [
      [i32, [5]],
      [i32, [5]],
    ],
    result: [i32, [1]],
  },
  {
    op: "select",
    operands: [
      [i32x2, [-1, 0]],
      [f32x2, [1, 2]],
      [f32x2, [3, 4]],
    ],
    result: [f32x2, [1, 4]],
  },
  {
    op: "select",
    operands: [
      [i32, [0]],
      [i32, [1]],
      [i32, [2]],
    ],
    result: [i32, [2]],
  },
];

const conversions: readonly Case[] = [
  { op: "toFloat", operands: [[i32x2, [2 ** 24 + 1, -3]]], result: [f32x2, [2 ** 24, -3]] },
  { op: "bitcast", operands: [[f32, [1]]], result: [i32, [0x3f800000]] },
  { op: "bitcast", operands: [[i32, [0x40490fdb]]], result: [f32, [Math.fround(Math.PI)]] },
  { op: "bitcast", operands: [[i8x4, [-1, -128, 1, 2]]], result: [i16x2, [-32513, 513]] },
  { op: "widenS", operands: [[i8x2, [-128, 127]]], result: [i16x2, [-128, 127]] },
  { op: "widenS", operands: [[i16x2, [-32768, 5]]], result: [i32x2, [-32768, 5]] },
  { op: "widenU", operands: [[i8x2, [-128, 127]]], result: [i16x2, [128, 127]] },
  { op: "widenU", operands: [[i16x2, [-1, 5]]], result: [i32x2, [65535, 5]] },
  { op: "narrowS", operands: [[i32x2, [40000, -40000]]], result: [i16x2, [32767, -32768]] },
  { op: "narrowS", operands: [[i16x2, [127, -129]]], result: [i8x2, [127, -128]] },
  {
    op: "concat",
    operands: [
      [i8x2, [1, 2]],
      [i8x2, [3, 4]],
    ],
    result: [i8x4, [1, 2, 3, 4]],
  },
  {
    op: "concat",
    operands: [
      [f32, [1]],
      [f32, [2]],
    ],
    result: [f32x2, [1, 2]],
  },
  { op: "shuffle", operands: [[i8x4, [1, 2, 3, 4]]], immediates: [3, 3], result: [i8x2, [4, 4]] },
  {
    op: "shuffle",
    operands: [
      [i8x2, [1, 2]],
      [i8x2, [3, 4]],
    ],
    immediates: [2, 0, 3, 1],
    result: [i8x4, [3, 1, 4, 2]],
  },
  { op: "lane", operands: [[f32x2, [1.5, 2.5]]], immediates: [1], result: [f32, [2.5]] },
];

/** Signed where nothing else is said: 200 is held as -56. */
const dots: readonly Case[] = [
  {
    op: "dotQuadsUS",
    operands: [
      [i32x2, [1000, least]],
      [i8x8, [200, 1, 2, 3, 255, 255, 255, 255]],
      [i8x8, [-128, 1, 1, 1, -128, -128, -128, -128]],
    ],
    result: [i32x2, [1000 - 25600 + 6, least - 4 * 255 * 128 + 2 ** 32]],
  },
  {
    op: "dotQuadsSS",
    operands: [
      [i32x2, [1000, 0]],
      [i8x8, [-56, 1, 2, 3, -128, -128, -128, -128]],
      [i8x8, [-128, 1, 1, 1, -128, -128, -128, -128]],
    ],
    result: [i32x2, [1000 + 7168 + 6, 65536]],
  },
  {
    op: "dotPairsUS",
    operands: [
      [i8x8, [255, 255, 255, 255, 15, 15, 200, 0]],
      [i8x8, [127, 127, -128, -128, 127, 127, -1, 9]],
    ],
    result: [i16x4, [32767, -32768, 3810, -200]],
  },
  {
    op: "mulWiden",
    operands: [
      [i8x4, [-128, -128, 127, -56]],
      [i8x4, [-128, 127, 127, 2]],
    ],
    result: [i16x4, [16384, -16256, 16129, -112]],
  },
  {
    op: "addPairs",
    operands: [
      [i32x2, [10, 2 ** 31 - 1]],
      [i16x4, [-32768, -32768, 1, 2]],
    ],
    result: [i32x2, [10 - 65536, least + 2]],
  },
  {
    op: "dotMatrix",
    operands: [
      [i32x4, [0, 1, 2, 3]],
      [i8x16, [1, 0, 0, 0, 0, 0, 0, 2, -56, 0, 0, 0, 0, 0, 0, 0]],
      [i8x16, [3, 0, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0, 0, 6]],
    ],
    result: [i32x4, [11, 1 + 17, 2 - 168, 3 - 280]],
  },
  {
    op: "dotTile",
    operands: [
      // Column 5 of row 0 is -2, column 31 is 3; the weights' row n is n in column 5 and 255 in column 31.
      [vector("i8", 32), Array.from({ length: 32 }, (_, k) => (k === 5 ? -2 : k === 31 ? 3 : 0))],
      [vector("i8", 512), Array.from({ length: 512 }, (_, at) => weightAt(at >> 6, (at >> 2) & 15, at & 3))],
    ],
    result: [vector("i32", 16), Array.from({ length: 16 }, (_, n) => 3 * 255 - 2 * n)],
  },
];

function weightAt(run: number, n: number, column: number): number {
  const k = 4 * run + column;
  return k === 5 ? n : k === 31 ? 255 : 0;
}

const loads: readonly Case[] = [
  { op: "load", operands: [[i32, [0]]], immediates: [4, 2], result: [f32x4, [1, -2, 0, 0]] },
  { op: "load", operands: [[i32, [1]]], immediates: [0, 2], result: [i8x4, [-128, 1, 0, 0]] },
  { op: "load", operands: [[i32, [0]]], immediates: [0, 2], result: [i16x2, [-32513, 513]] },
  { op: "load", operands: [[i32, [-2]]], immediates: [6, 1], result: [f32, [1]] },
  { op: "loadSplat", operands: [[i32, [8]]], immediates: [0, 1], result: [f32x2, [-2, -2]] },
  { op: "load8", operands: [[i32, [0]]], immediates: [1, 1], result: [i32, [0x80]] },
  { op: "load16", operands: [[i32, [0]]], immediates: [0, 1], result: [i32, [0x80ff]] },
];

/** One operation as a kernel; a load reads `memory`. `advance` gives a pointer, which is seen through a load. */
function run({ op, operands, immediates = [], result: [type] }: Case): readonly number[] {
  const pointer: Value = { id: 0, type: ptr };
  const out: Value = { id: 1, type: ptr };
  const zero: Value = { id: 2, type: i32 };
  const result: Value = { id: 3, type };
  const values = operands.map(([of], i): Value => ({ id: i + 4, type: of }));
  const args = op.startsWith("load") ? [pointer, ...values] : values;
  const constants = operands.map(([, literals], i): Statement => {
    return { kind: "let", result: values[i] ?? zero, op: "const", args: [], immediates: literals };
  });
  const kernel: Kernel = {
    name: `one_${op}`,
    summary: "one operation",
    parameters: [
      { name: "memory", value: pointer, access: "read", note: "" },
      { name: "out", value: out, access: "write", note: "" },
    ],
    body: [
      { kind: "let", result: zero, op: "const", args: [], immediates: [0] },
      ...constants,
      { kind: "let", result, op, args, immediates },
      { kind: "store", pointer: out, index: zero, offset: 0, value: result, element: type.element, count: type.lanes },
    ],
  };
  const asked = operations[op].result(
    args.map((arg) => arg.type),
    immediates,
    type,
  );
  expect(printType(asked)).toBe(printType(type));
  const size = bytesOfElement(type.element);
  const view = new DataView(new ArrayBuffer(type.lanes * size));
  interpretKernel(kernel, [{ bytes: memory }, { bytes: new Uint8Array(view.buffer) }]);
  return Array.from({ length: type.lanes }, (_, i) => readElement(view, i * size, type.element));
}

/** The lanes as later operations see them: integers must be signed numbers already, where a store would cut them. */
function held({ op, operands, immediates = [], result }: Case): readonly number[] {
  const operation: Operation = operations[op];
  const types = operands.map(([type]) => type);
  const lanes = operands.map(([, literals]) => literals);
  return operation.meaning?.(lanes, immediates, result[0], types) ?? result[1];
}

const cases = [...arithmetic, ...bitwise, ...conversions, ...dots, ...loads];

test.each(cases.map((each) => ({ ...each, name: `${each.op} gives ${printType(each.result[0])} ${each.result[1].join(", ")}` })))(
  "$name",
  (each) => {
    expect(run(each)).toEqual(each.result[1]);
    expect(held(each)).toEqual(each.result[1]);
  },
);

test("every operation has a case", () => {
  const covered = new Set<string>(cases.map(({ op }) => op));
  // Pointers are no lanes: interpret.test.ts shows what advance does.
  expect(Object.keys(operations).filter((op) => !covered.has(op))).toEqual(["advance"]);
});

test.each<readonly [OperationName, readonly Type[], readonly number[], Type]>([
  ["add", [f32x2, f32x4], [], f32x2],
  ["add", [i8x2, i8x2], [], i8x2],
  ["div", [i32, i32], [], i32],
  ["min", [i32, i32], [], i32],
  ["select", [f32, f32, f32], [], f32],
  ["bitcast", [i8x2], [], i32],
  ["widenS", [i32x2], [], i32x2],
  ["narrowS", [i8x2], [], i8x2],
  ["concat", [i8x2, i16x2], [], i8x4],
  ["shuffle", [i8x2], [2], i8x2],
  ["lane", [i32x2], [2], i32],
  ["dotPairs", [i8x4, i8x4], [], i32x2],
  ["dotQuadsUS", [i32x2, i8x4, i8x4], [], i32x2],
  ["dotQuadsSS", [i32x2, i8x8, i16x4], [], i32x2],
  ["dotPairsUS", [i16x4, i16x4], [], i32x2],
  ["mulWiden", [i16x2, i16x2], [], i32x2],
  ["addPairs", [i32x2, i16x2], [], i32x2],
  ["dotMatrix", [i32x2, i8x8, i8x8], [], i32x2],
  ["dotTile", [i8x16, i8x16], [], i32x2],
  ["load", [ptr, i32], [0, 5], f32x4],
  ["load", [i32, i32], [0, 1], f32],
  ["loadSplat", [ptr, i32], [0, 1], i8x4],
  ["load8", [ptr, i32], [0, 1], f32],
  ["advance", [ptr, f32], [4], ptr],
])("%s refuses operands that do not fit (%#)", (op, args, immediates, asked) => {
  expect(() => operations[op].result(args, immediates, asked)).toThrow(/does not take/);
});
