/**
 * A tiny kernel for every operation of the kernel IR and every type that it takes: load the operands, operate, store. Types come
 * from the operations' own rules: whatever a rule accepts must be emitted right.
 */

import { InternalError } from "../../compiler/errors.ts";
import { recordKernel, type KernelBuilder } from "../../compiler/kernel/builder.ts";
import { bytesOfType, f32, i32, printType, vector, type Element, type Kernel, type Type, type Value } from "../../compiler/kernel/ir.ts";
import { operationNamed, type OperationName } from "../../compiler/kernel/ops.ts";
import { operandRules } from "../../compiler/kernel/rules.ts";

/** How the operands of an operation are made from arbitrary numbers. */
export type OperandKind = "any" | "mask" | "index";

export interface OperationCase {
  readonly op: OperationName;
  readonly name: string;
  readonly kernel: Kernel;
  readonly immediates: readonly number[];
  /** What `in` holds, operand after operand, each on a cache line. */
  readonly operands: readonly { readonly type: Type; readonly kind: OperandKind }[];
  readonly result: Type;
}

/** Bytes between operands; the largest operand is a panel's group of 512 bytes. */
export const operandBytes = 512;

const scalars = [i32, f32];
const vectors = (["i8", "i16", "i32", "f32"] as const).flatMap((element) => lanesOf(element).map((lanes) => vector(element, lanes)));
const types: readonly Type[] = [...scalars, ...vectors];

/** Lane counts in use: parts of a register, one, and several. */
function lanesOf(element: Element): readonly number[] {
  if (element === "i8") return [8, 16];
  return element === "i16" ? [4, 8, 16] : [2, 4, 8, 16];
}

/** Operand types and constants to try; what the operation's rules refuse is left out. */
interface Attempt {
  readonly args: readonly Type[];
  readonly immediates?: readonly number[];
  readonly asked?: Type;
}

const each = (make: (type: Type) => readonly Attempt[]): readonly Attempt[] => types.flatMap(make);
const one = each((type) => [{ args: [type] }]);
const two = each((type) => [{ args: [type, type] }]);
const withConstants = (constants: readonly number[]): readonly Attempt[] =>
  each((type) => constants.map((constant) => ({ args: [type], immediates: [constant] })));

const shifts = [0, 1, 4, 7, 13, 16, 23, 31];
const divisors = [1, 3, 7, 64, 67, 1000003, 2 ** 31 - 1];

/** Orders of lanes: halves, even, odd, neighbours exchanged, one lane many times. */
function orders(lanes: number): readonly (readonly number[])[] {
  const all = Array.from({ length: lanes }, (_, i) => i);
  const half = lanes / 2;
  const regular = [all.slice(0, half), all.slice(half), all.filter((i) => i % 2 === 0), all.filter((i) => i % 2 === 1)];
  return [...regular, all.map((i) => i ^ 1), all.map(() => lanes - 1)].filter((order) => order.length > 1);
}

const loads = (loaded: readonly Type[], counts: (type: Type) => readonly number[]): readonly Attempt[] =>
  loaded.flatMap((type) =>
    counts(type).flatMap((count) => [0, 4, 20].map((offset) => ({ args: [], immediates: [offset, count], asked: type }))),
  );

/** Sums of `lanes` i32 with two operands of four bytes a lane. */
const quads = [2, 4, 8, 16].map((lanes) => ({ args: [vector("i32", lanes), vector("i8", 4 * lanes), vector("i8", 4 * lanes)] }));
const bytePairs = [8, 16, 32, 64].map((lanes) => ({ args: [vector("i8", lanes), vector("i8", lanes)] }));

/** Every operation of the table; `operations.test.ts` holds the keys against it. */
export const attempts: Readonly<Record<OperationName, readonly Attempt[]>> = {
  const: each((type) => [
    { args: [], immediates: [0], asked: type },
    { args: [], immediates: [-1], asked: type },
    { args: [], immediates: Array.from({ length: type.lanes }, (_, i) => (i % 2 === 0 ? i : -i)), asked: type },
  ]),
  splat: scalars.flatMap((type) => [2, 4, 16].map((lanes) => ({ args: [type], immediates: [lanes] }))),
  add: two,
  sub: two,
  mul: two,
  div: two,
  min: two,
  max: two,
  abs: one,
  sqrt: one,
  and: two,
  or: two,
  xor: two,
  shl: withConstants(shifts),
  shrS: withConstants(shifts),
  shrU: withConstants(shifts),
  divU: withConstants(divisors),
  remU: withConstants(divisors),
  lt: two,
  eq: two,
  select: each((type) => [{ args: [vector("i32", type.lanes), type, type] }]),
  toFloat: one,
  bitcast: each((type) => types.map((asked) => ({ args: [type], asked }))),
  widenS: one,
  widenU: one,
  narrowS: one,
  // Vectors that fill their registers: a target may refuse others.
  concat: vectors
    .filter((type) => bytesOfType(type) % 16 === 0)
    .flatMap((type) => [2, 4].map((count) => ({ args: new Array<Type>(count).fill(type) }))),
  shuffle: vectors.flatMap((type) => [
    ...orders(type.lanes).map((immediates) => ({ args: [type], immediates })),
    ...(bytesOfType(type) <= 16
      ? orders(2 * type.lanes).map((order) => ({ args: [type, type], immediates: order.slice(0, type.lanes) }))
      : []),
  ]),
  lane: each((type) => [0, 1, type.lanes - 1].map((lane) => ({ args: [type], immediates: [lane] }))),
  dotPairs: two,
  dotQuadsUS: quads,
  dotQuadsSS: quads,
  dotPairsUS: bytePairs,
  mulWiden: bytePairs,
  addPairs: [2, 4, 8, 16].map((lanes) => ({ args: [vector("i32", lanes), vector("i16", 2 * lanes)] })),
  dotMatrix: [4, 8].map((lanes) => ({ args: [vector("i32", lanes), vector("i8", 4 * lanes), vector("i8", 4 * lanes)] })),
  dotTile: [1, 2, 16].map((rows) => ({ args: [vector("i8", 32 * rows), vector("i8", 512)] })),
  load: loads(types, ({ element, lanes }) =>
    (element === "f32" || element === "i32" ? [1, lanes - 1, lanes] : [lanes]).filter((n) => n > 0),
  ),
  loadSplat: loads(types, () => [1]),
  load8: loads([i32], () => [1]),
  load16: loads([i32], () => [1]),
  advance: [1, 4, 16, 24].map((stride) => ({ args: [], immediates: [stride], asked: i32 })),
};

/** The cases of an operation: one for each attempt that its rules accept. */
export function operationCases(op: OperationName): readonly OperationCase[] {
  const cases = attempts[op].flatMap((attempt, i) => accepted(op, attempt).map((result) => caseOf(op, attempt, result, i)));
  return [...new Map(cases.map((each) => [each.name, each])).values()];
}

/** The result's type, or nothing where the operation refuses the attempt. */
function accepted(op: OperationName, { args, immediates = [], asked = i32 }: Attempt): readonly Type[] {
  if (args.length === 0 && op !== "const")
    return operandRules[op].immediates(immediates, asked) === undefined && canLoad(op, asked) ? [asked] : [];
  try {
    const result = operationNamed(op).result(args, immediates, asked);
    return operandRules[op].immediates(immediates, result) === undefined ? [result] : [];
  } catch (error) {
    if (error instanceof InternalError) return [];
    throw error;
  }
}

function canLoad(op: OperationName, asked: Type): boolean {
  return op !== "loadSplat" || (asked.lanes > 1 && bytesOfType(asked) === 4 * asked.lanes);
}

function caseOf(op: OperationName, { args, immediates = [], asked = i32 }: Attempt, result: Type, index: number): OperationCase {
  const name = [op, ...args.map(printType), "to", printType(result), index].join("_").toLowerCase();
  const takesMemory = op.startsWith("load") || op === "advance";
  const operands = takesMemory
    ? [
        { type: i32, kind: "index" as const },
        { type: vector("i32", 32), kind: "any" as const },
      ]
    : args.map((type, i) => ({ type, kind: op === "select" && i === 0 ? ("mask" as const) : ("any" as const) }));
  const kernel = recordKernel(name, `${op} alone`, (b) => {
    const from = b.pointer("in", "read", "the operands");
    const to = b.pointer("out", "write", "the result");
    const value = takesMemory
      ? fromMemory(b, op, from, immediates, asked)
      : b.op(
          op,
          operands.map(({ type }, i) => loadOperand(b, type, from, i)),
          immediates,
          asked,
        );
    b.store(value, to);
  });
  return { op, name, kernel, immediates, operands, result };
}

function loadOperand(b: KernelBuilder, type: Type, from: Value, index: number): Value {
  return b.load(type, from, 0, index * operandBytes);
}

/** Loads at an index that memory holds; `advance` goes there and back, so that both signs of an index are seen. */
function fromMemory(b: KernelBuilder, op: OperationName, from: Value, immediates: readonly number[], asked: Type): Value {
  const index = b.load(i32, from);
  const memory = b.advance(from, 1, operandBytes);
  const [stride = 0] = immediates;
  if (op !== "advance") return b.op(op, [memory, b.shl(index, 2)], immediates, asked);
  const there = b.advance(memory, index, stride);
  return b.load(i32, b.advance(there, b.sub(b.int(1), index), stride));
}
