/**
 * The operations of the kernel IR: one row each, with the type rule and the meaning in plain loops. The interpreter runs the meaning;
 * each target holds one row per operation too: its emission. Rows of memory access have no meaning here, because the interpreter
 * owns the memory.
 */
import { internal } from "../errors.ts";
import { dotOperations } from "./dot-instructions.ts";
import { bytesOfElement, bytesOfType, i32, ptr, sameType, vector, type Element, type Type } from "./ir.ts";
import { mismatch, operand, saturated, type Lanes, type Operation } from "./operation.ts";

export type { Lanes, Operation } from "./operation.ts";
export { dotInstructions, type DotInstruction } from "./dot-instructions.ts";

const f = Math.fround;

/** Two operands of one type, elements among `elements`; the result has that type. */
function sameShape(name: string, elements: readonly Element[]): Operation["result"] {
  return (args) => {
    const [a, b] = args;
    if (args.length !== 2 || !a || !b || !sameType(a, b) || !elements.includes(a.element)) return mismatch(name, args);
    return a;
  };
}

function binary(name: string, elements: readonly Element[], lane: (a: number, b: number, type: Type) => number): Operation {
  return {
    result: sameShape(name, elements),
    meaning: (args, _, type) => operand(args, 0).map((a, i) => lane(a, operand(operand(args, 1), i), type)),
  };
}

function compare(name: string, elements: readonly Element[], lane: (a: number, b: number) => boolean): Operation {
  const types = sameShape(name, elements);
  return {
    result: (args, immediates, asked) => vector("i32", types(args, immediates, asked).lanes),
    meaning: (args, _, type) => {
      const yes = type.lanes === 1 ? 1 : -1;
      return operand(args, 0).map((a, i) => (lane(a, operand(operand(args, 1), i)) ? yes : 0));
    },
  };
}

function unary(name: string, rule: (type: Type) => Type | undefined, lane: (a: number) => number): Operation {
  return {
    result: (args) => {
      const [a] = args;
      return (args.length === 1 && a ? rule(a) : undefined) ?? mismatch(name, args);
    },
    meaning: (args) => operand(args, 0).map(lane),
  };
}

/** An operand of one of `elements` and a constant. */
function withConstant(name: string, elements: readonly Element[], lane: (a: number, constant: number) => number): Operation {
  return {
    result: (args) => {
      const [a] = args;
      return args.length === 1 && a && elements.includes(a.element) ? a : mismatch(name, args);
    },
    meaning: (args, immediates, { element }) => operand(args, 0).map((a) => heldAs(element, lane(a, operand(immediates, 0)))),
  };
}

/** The same of i32 scalars alone. */
function scalarWithConstant(name: string, lane: (a: number, constant: number) => number): Operation {
  const operation = withConstant(name, ["i32"], lane);
  return {
    ...operation,
    result: (args, immediates, asked) => {
      const type = operation.result(args, immediates, asked);
      return type.lanes === 1 ? type : mismatch(name, args);
    },
  };
}

const onlyF32 = (type: Type): Type | undefined => (type.element === "f32" ? type : undefined);

const wider: Partial<Record<Element, Element>> = { i8: "i16", i16: "i32" };
const narrower: Partial<Record<Element, Element>> = { i32: "i16", i16: "i8" };

function resized(steps: Partial<Record<Element, Element>>): (type: Type) => Type | undefined {
  return (type) => {
    const element = steps[type.element];
    return element && type.lanes > 1 ? vector(element, type.lanes) : undefined;
  };
}

/** Loads name their type, and check that the lanes asked for exist. */
function load(rule: (asked: Type) => boolean): Operation {
  return {
    result: (args, immediates, asked) => {
      const [pointer, index] = args;
      const count = immediates[1] ?? 1;
      const right = args.length === 2 && pointer?.element === "ptr" && index && sameType(index, i32);
      return right && rule(asked) && count >= 1 && count <= asked.lanes ? asked : mismatch("load", [...args, asked]);
    },
  };
}

function toBytes(lanes: Lanes, type: Type): DataView {
  const view = new DataView(new ArrayBuffer(bytesOfType(type)));
  lanes.forEach((lane, i) => {
    writeElement(view, i * bytesOfElement(type.element), type.element, lane);
  });
  return view;
}

/** Writes one element, little-endian; integers are cut to their width. */
export function writeElement(view: DataView, offset: number, element: Element, value: number): void {
  if (element === "f32") view.setFloat32(offset, value, true);
  else if (element === "i32") view.setInt32(offset, value, true);
  else if (element === "i16") view.setInt16(offset, value, true);
  else if (element === "i8") view.setInt8(offset, value);
  else internal("a pointer has no bytes");
}

/** Reads one element, little-endian; integers are signed. */
export function readElement(view: DataView, offset: number, element: Element): number {
  if (element === "f32") return view.getFloat32(offset, true);
  if (element === "i32") return view.getInt32(offset, true);
  if (element === "i16") return view.getInt16(offset, true);
  if (element === "i8") return view.getInt8(offset);
  return internal("a pointer has no bytes");
}

/** A number as a lane holds it: rounded to f32, or cut to a signed integer of the element's width. */
function heldAs(element: Element, value: number): number {
  if (element === "f32") return f(value);
  const unused = 32 - 8 * bytesOfElement(element);
  return (value << unused) >> unused;
}

/** The bits of an integer lane as an unsigned number, which >>> then shifts. */
function unsigned(element: Element, value: number): number {
  const unused = 32 - 8 * bytesOfElement(element);
  return (value << unused) >>> unused;
}

export const operations = {
  /** The literal of the type asked for; one immediate, or one a lane. */
  const: {
    result: (_, immediates, asked) => (immediates.length === 1 || immediates.length === asked.lanes ? asked : mismatch("const", [asked])),
    meaning: (_, immediates, { element, lanes }) =>
      Array.from({ length: lanes }, (_lane, i) => heldAs(element, operand(immediates, immediates.length === 1 ? 0 : i))),
  },
  /** A scalar in every lane; the immediate is the number of lanes. */
  splat: {
    result: (args, immediates) => {
      const [a] = args;
      return a?.lanes === 1 && a.element !== "ptr" ? vector(a.element, immediates[0] ?? 1) : mismatch("splat", args);
    },
    meaning: (args, _, type) => Array.from({ length: type.lanes }, () => operand(operand(args, 0), 0)),
  },

  add: binary("add", ["f32", "i32", "i16"], (a, b, { element }) => heldAs(element, a + b)),
  sub: binary("sub", ["f32", "i32"], (a, b, { element }) => (element === "f32" ? f(a - b) : (a - b) | 0)),
  /** Of integers the lower half of the product. */
  mul: binary("mul", ["f32", "i32", "i16"], (a, b, { element }) => heldAs(element, element === "f32" ? a * b : Math.imul(a, b))),
  div: binary("div", ["f32"], (a, b) => f(a / b)),
  /** b < a ? b : a, and a < b ? b : a: which zero or NaN wins is thereby fixed. */
  min: binary("min", ["f32"], (a, b) => (b < a ? b : a)),
  max: binary("max", ["f32"], (a, b) => (a < b ? b : a)),
  abs: unary("abs", onlyF32, Math.abs),
  sqrt: unary("sqrt", onlyF32, (a) => f(Math.sqrt(a))),

  and: binary("and", ["i32", "i16", "i8"], (a, b) => a & b),
  or: binary("or", ["i32", "i16", "i8"], (a, b) => a | b),
  xor: binary("xor", ["i32", "i16", "i8"], (a, b) => a ^ b),
  /** Shifts by the immediate, which is less than the lane's bits. shrU sees lanes as unsigned; bytes have no other shift. */
  shl: withConstant("shl", ["i32", "i16"], (a, bits) => a << bits),
  shrS: withConstant("shrS", ["i32", "i16"], (a, bits) => a >> bits),
  shrU: {
    ...withConstant("shrU", ["i32", "i16", "i8"], (a) => a),
    meaning: (args, immediates, { element }) =>
      operand(args, 0).map((a) => heldAs(element, unsigned(element, a) >>> operand(immediates, 0))),
  },
  /** Division and remainder of a scalar by a positive constant, unsigned: no machine divides vectors of integers. */
  divU: scalarWithConstant("divU", (a, divisor) => Math.floor((a >>> 0) / divisor) | 0),
  remU: scalarWithConstant("remU", (a, divisor) => ((a >>> 0) % divisor) | 0),

  /** Comparisons: 0, or 1 for scalars and -1 in the lanes of vectors; i32 is signed. */
  lt: compare("lt", ["f32", "i32"], (a, b) => a < b),
  eq: compare("eq", ["f32", "i32"], (a, b) => a === b),
  /** select(condition, yes, no), lane by lane. */
  select: {
    result: (args) => {
      const [mask, yes, no] = args;
      const right =
        mask?.element === "i32" && yes && no && sameType(yes, no) && mask.lanes === yes.lanes && bytesOfElement(yes.element) === 4;
      return right ? yes : mismatch("select", args);
    },
    meaning: (args) => operand(args, 0).map((mask, i) => operand(operand(args, mask ? 1 : 2), i)),
  },

  /** i32 to the nearest f32. */
  toFloat: unary("toFloat", (a) => (a.element === "i32" ? vector("f32", a.lanes) : undefined), f),
  /** The same bits under another type of equal size. */
  bitcast: {
    result: (args, _, asked) => {
      const [a] = args;
      return a && bytesOfType(a) === bytesOfType(asked) && a.element !== "ptr" ? asked : mismatch("bitcast", [...args, asked]);
    },
    meaning: (args, _, type, operands) => {
      const view = toBytes(operand(args, 0), operand(operands, 0));
      return Array.from({ length: type.lanes }, (_lane, i) => readElement(view, i * bytesOfElement(type.element), type.element));
    },
  },
  /** Twice the width, lane by lane: i8 to i16, i16 to i32. */
  widenS: unary("widenS", resized(wider), (a) => a),
  widenU: {
    result: (args) => {
      const [a] = args;
      return (a && resized(wider)(a)) ?? mismatch("widenU", args);
    },
    meaning: (args, _, __, operands) => operand(args, 0).map((a) => (operand(operands, 0).element === "i8" ? a & 255 : a & 65535)),
  },
  /** Half the width, lane by lane, saturating as signed. */
  narrowS: {
    result: (args) => {
      const [a] = args;
      return (a && resized(narrower)(a)) ?? mismatch("narrowS", args);
    },
    meaning: (args, _, type) => operand(args, 0).map((a) => saturated(a, 8 * bytesOfElement(type.element))),
  },

  /** Vectors of one element type end to end. */
  concat: {
    result: (args) => {
      const [first] = args;
      if (!first || args.some((arg) => arg.element !== first.element)) return mismatch("concat", args);
      return vector(
        first.element,
        args.reduce((sum, arg) => sum + arg.lanes, 0),
      );
    },
    meaning: (args) => args.flat(),
  },
  /** Lanes of one vector, or of two end to end, in the order of the immediates. */
  shuffle: {
    result: (args, immediates) => {
      const [a] = args;
      const lanes = args.reduce((sum, arg) => sum + arg.lanes, 0);
      const right = a && args.every((arg) => arg.element === a.element) && immediates.every((i) => i >= 0 && i < lanes);
      return right ? vector(a.element, immediates.length) : mismatch("shuffle", args);
    },
    meaning: (args, immediates) => {
      const [only] = args;
      const lanes = args.length === 1 && only ? only : args.flat();
      return immediates.map((i) => operand(lanes, i));
    },
  },
  /** The scalar in one lane of an i32 or f32 vector. */
  lane: {
    result: (args, immediates) => {
      const [a] = args;
      const right = a && a.lanes > 1 && bytesOfElement(a.element) === 4 && operand(immediates, 0) < a.lanes;
      return right ? vector(a.element, 1) : mismatch("lane", args);
    },
    meaning: (args, immediates) => [operand(operand(args, 0), operand(immediates, 0))],
  },

  /** Signed 16-bit products added in pairs: result[i] = a[2i] b[2i] + a[2i+1] b[2i+1]. */
  dotPairs: {
    result: (args) => {
      const [a, b] = args;
      return a?.element === "i16" && b && sameType(a, b) ? vector("i32", a.lanes / 2) : mismatch("dotPairs", args);
    },
    meaning: (args, _, type) => {
      const [a, b] = [operand(args, 0), operand(args, 1)];
      const product = (i: number): number => operand(a, i) * operand(b, i);
      return Array.from({ length: type.lanes }, (_lane, i) => (product(2 * i) + product(2 * i + 1)) | 0);
    },
  },

  ...dotOperations,

  /** load(pointer, index) of the type asked for; immediates: byte offset, and the lanes to read (the rest are 0). */
  load: load((asked) => asked.element !== "ptr"),
  /** One 4-byte element in every lane. */
  loadSplat: load((asked) => bytesOfElement(asked.element) === 4 && asked.lanes > 1),
  /** A byte or a 16-bit number as an unsigned i32. */
  load8: load((asked) => sameType(asked, i32)),
  load16: load((asked) => sameType(asked, i32)),
  /** pointer + index * stride, in the pointer's own width; the immediate is the stride in bytes. */
  advance: {
    result: (args) =>
      args.length === 2 && args[0]?.element === "ptr" && args[1] && sameType(args[1], i32) ? ptr : mismatch("advance", args),
  },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

/** The row of an operation. */
export function operationNamed(name: string): Operation {
  return Object.hasOwn(operations, name) ? operations[name as OperationName] : internal(`no operation ${name}`);
}
