/**
 * The emission table: one row for each operation of the kernel IR. A row returns the locals (or literals) that hold the result.
 */
import { internal, required } from "../../compiler/errors.ts";
import { bytesOfElement, bytesOfType, type Type, type Value } from "../../compiler/kernel/ir.ts";
import { writeElement, type DotInstruction, type OperationName } from "../../compiler/kernel/ops.ts";
import type { Assembler, Expression, Reader } from "./assembler.ts";
import { loadParts } from "./emit-memory.ts";
import { shuffleParts } from "./emit-shuffle.ts";
import type { FunctionWriter } from "./lower.ts";
import { partBytes, partCount, partType } from "./parts.ts";

export interface Operands {
  readonly writer: FunctionWriter;
  readonly args: readonly Value[];
  readonly immediates: readonly number[];
  /** The result's type. */
  readonly type: Type;
}

type Emission = (operands: Operands) => readonly Reader[];
type Binary = (a: Expression, b: Expression) => Expression;
type Unary = (a: Expression) => Expression;

/** The type that decides which instruction is meant: `i32`, `f32`, or a v128 view of them. */
type Kind = "i32" | "f32" | "i8x16" | "i16x8" | "i32x4" | "f32x4";

function kindOf({ element, lanes }: Type): Kind {
  if (lanes === 1) return element === "f32" ? "f32" : "i32";
  switch (element) {
    case "i8":
      return "i8x16";
    case "i16":
      return "i16x8";
    case "i32":
      return "i32x4";
    case "f32":
      return "f32x4";
    default:
      return internal("no vectors of pointers");
  }
}

function arg({ args }: Operands, index: number): Value {
  return required(args[index], `operand ${index}`);
}

function immediate({ immediates }: Operands, index: number): number {
  return required(immediates[index], `immediate ${index}`);
}

/** The same instruction on every part of two operands. `kinds` names the instruction for each kind that has one. */
function binary(kinds: (asm: Assembler) => Partial<Record<Kind, Binary>>): Emission {
  return (operands) => {
    const { writer, type } = operands;
    const operand = arg(operands, 0);
    const emit = required(kinds(writer.asm)[kindOf(operand.type)], `instruction for ${kindOf(operand.type)}`);
    const right = writer.parts(arg(operands, 1));
    return writer.parts(operand).map((left, i) => writer.bind(partType(type), emit(left(), required(right[i], "part")())));
  };
}

function unary(kinds: (asm: Assembler, operands: Operands) => Partial<Record<Kind, Unary>>): Emission {
  return (operands) => {
    const { writer, type } = operands;
    const operand = arg(operands, 0);
    const emit = required(kinds(writer.asm, operands)[kindOf(operand.type)], `instruction for ${kindOf(operand.type)}`);
    return writer.parts(operand).map((part) => writer.bind(partType(type), emit(part())));
  };
}

/** Lanes of twice the width: each part becomes two, its low half and its high half. */
function widen(kinds: (asm: Assembler) => Partial<Record<Kind, readonly [low: Unary, high: Unary]>>): Emission {
  return (operands) => {
    const { writer, type } = operands;
    const source = arg(operands, 0);
    const [low, high] = required(kinds(writer.asm)[kindOf(source.type)], `widening of ${kindOf(source.type)}`);
    const parts = writer.parts(source);
    return Array.from({ length: partCount(type) }, (_, i) => {
      const part = required(parts[i >> 1], "part");
      return writer.bind("v128", i % 2 === 0 ? low(part()) : high(part()));
    });
  };
}

/** Lanes of half the width: two parts become one. A single part is joined with itself. */
const narrow: Emission = (operands) => {
  const { writer, type } = operands;
  const { i8x16, i16x8 } = writer.asm;
  const parts = writer.parts(arg(operands, 0));
  const emit = type.element === "i8" ? i8x16.narrow_i16x8_s : i16x8.narrow_i32x4_s;
  return Array.from({ length: partCount(type) }, (_, i) => {
    const low = required(parts[2 * i], "part");
    const high = parts[2 * i + 1] ?? low;
    return writer.bind("v128", emit(low(), high()));
  });
};

const literal: Emission = ({ writer, immediates, type }) => {
  const { asm } = writer;
  if (type.lanes === 1) {
    const [value = 0] = immediates;
    return [type.element === "f32" ? () => asm.f32.const(value) : () => asm.i32.const(value)];
  }
  const size = bytesOfElement(type.element);
  const view = new DataView(new ArrayBuffer(partCount(type) * partBytes));
  for (let i = 0; i < type.lanes; i++) {
    writeElement(view, i * size, type.element, required(immediates[immediates.length === 1 ? 0 : i], "literal"));
  }
  return Array.from({ length: partCount(type) }, (_, part) => {
    const bytes = [...new Uint8Array(view.buffer, part * partBytes, partBytes)];
    return bytes.every((byte) => byte === 0) ? () => asm.v128.const(bytes) : writer.constant(bytes);
  });
};

const load: Emission = (operands) => {
  const { writer, type } = operands;
  const address = writer.address(arg(operands, 0), arg(operands, 1));
  const offset = immediate(operands, 0);
  const alignment = bytesOfElement(type.element);
  if (type.lanes > 1) return loadParts(writer, { address, offset, alignment }, partCount(type), immediate(operands, 1) * alignment);
  const { i32, f32 } = writer.asm;
  return [writer.bind(partType(type), type.element === "f32" ? f32.load(offset, 4, address()) : i32.load(offset, 4, address()))];
};

/** A load of an unsigned i32 from a smaller number. */
function narrowLoad(
  alignment: number,
  emit: (asm: Assembler) => (offset: number, align: number, address: Expression) => Expression,
): Emission {
  return (operands) => {
    const { writer } = operands;
    const address = writer.address(arg(operands, 0), arg(operands, 1));
    return [writer.bind("i32", emit(writer.asm)(immediate(operands, 0), alignment, address()))];
  };
}

/** One local serves every part. */
function everyPart(type: Type, reader: Reader): readonly Reader[] {
  return new Array<Reader>(partCount(type)).fill(reader);
}

/** No result of an operation on vectors needs more than two parts of its operands for each part of the result. */
export const emissions: Readonly<Record<Exclude<OperationName, DotInstruction> | "dotQuadsUS", Emission>> = {
  const: literal,
  splat: (operands) => {
    const { writer, type } = operands;
    const { i32x4, f32x4 } = writer.asm;
    const value = writer.scalar(arg(operands, 0));
    return everyPart(type, writer.bind("v128", type.element === "f32" ? f32x4.splat(value) : i32x4.splat(value)));
  },

  add: binary(({ i32, f32, i16x8, i32x4, f32x4 }) => ({
    i32: i32.add,
    f32: f32.add,
    i16x8: i16x8.add,
    i32x4: i32x4.add,
    f32x4: f32x4.add,
  })),
  sub: binary(({ i32, f32, i32x4, f32x4 }) => ({ i32: i32.sub, f32: f32.sub, i32x4: i32x4.sub, f32x4: f32x4.sub })),
  mul: binary(({ i32, f32, i16x8, i32x4, f32x4 }) => ({
    i32: i32.mul,
    f32: f32.mul,
    i16x8: i16x8.mul,
    i32x4: i32x4.mul,
    f32x4: f32x4.mul,
  })),
  div: binary(({ f32, f32x4 }) => ({ f32: f32.div, f32x4: f32x4.div })),
  // pmin and pmax are the IR's choice of operand; scalars have no such instruction.
  min: (operands) =>
    arg(operands, 0).type.lanes > 1 ? binary(({ f32x4 }) => ({ f32x4: f32x4.pmin }))(operands) : scalarChoice(operands, "min"),
  max: (operands) =>
    arg(operands, 0).type.lanes > 1 ? binary(({ f32x4 }) => ({ f32x4: f32x4.pmax }))(operands) : scalarChoice(operands, "max"),
  abs: unary(({ f32, f32x4 }) => ({ f32: f32.abs, f32x4: f32x4.abs })),
  sqrt: unary(({ f32, f32x4 }) => ({ f32: f32.sqrt, f32x4: f32x4.sqrt })),

  and: binary(({ i32, v128 }) => ({ i32: i32.and, i8x16: v128.and, i16x8: v128.and, i32x4: v128.and })),
  or: binary(({ i32, v128 }) => ({ i32: i32.or, i8x16: v128.or, i16x8: v128.or, i32x4: v128.or })),
  xor: binary(({ i32, v128 }) => ({ i32: i32.xor, i8x16: v128.xor, i16x8: v128.xor, i32x4: v128.xor })),
  shl: unary(({ i32, i16x8, i32x4 }, operands) => ({
    i32: (a) => i32.shl(a, i32.const(immediate(operands, 0))),
    i16x8: (a) => i16x8.shl(a, i32.const(immediate(operands, 0))),
    i32x4: (a) => i32x4.shl(a, i32.const(immediate(operands, 0))),
  })),
  shrS: unary(({ i32, i16x8, i32x4 }, operands) => ({
    i32: (a) => i32.shr_s(a, i32.const(immediate(operands, 0))),
    i16x8: (a) => i16x8.shr_s(a, i32.const(immediate(operands, 0))),
    i32x4: (a) => i32x4.shr_s(a, i32.const(immediate(operands, 0))),
  })),
  shrU: unary(({ i32, i16x8, i32x4 }, operands) => ({
    i32: (a) => i32.shr_u(a, i32.const(immediate(operands, 0))),
    i16x8: (a) => i16x8.shr_u(a, i32.const(immediate(operands, 0))),
    i32x4: (a) => i32x4.shr_u(a, i32.const(immediate(operands, 0))),
    i8x16: (a) => shiftedBytes(operands, a),
  })),
  divU: unary(({ i32 }, operands) => ({ i32: (a) => i32.div_u(a, i32.const(immediate(operands, 0))) })),
  remU: unary(({ i32 }, operands) => ({ i32: (a) => i32.rem_u(a, i32.const(immediate(operands, 0))) })),

  lt: binary(({ i32, f32, i32x4, f32x4 }) => ({ i32: i32.lt_s, f32: f32.lt, i32x4: i32x4.lt_s, f32x4: f32x4.lt })),
  eq: binary(({ i32, f32, i32x4, f32x4 }) => ({ i32: i32.eq, f32: f32.eq, i32x4: i32x4.eq, f32x4: f32x4.eq })),
  select: (operands) => {
    const { writer, type } = operands;
    const [masks, yes, no] = [0, 1, 2].map((i) => writer.parts(arg(operands, i)));
    return required(masks, "mask").map((mask, i) => {
      const [a, b] = [required(yes?.[i], "part")(), required(no?.[i], "part")()];
      return writer.bind(partType(type), type.lanes > 1 ? writer.asm.v128.bitselect(a, b, mask()) : writer.asm.select(mask(), a, b));
    });
  },

  toFloat: unary(({ f32, f32x4 }) => ({ i32: f32.convert_s.i32, i32x4: f32x4.convert_i32x4_s })),
  bitcast: (operands) => {
    const { writer, type } = operands;
    const source = arg(operands, 0);
    if (type.lanes > 1 || source.type.element === type.element) return writer.parts(source);
    const value = writer.scalar(source);
    const { i32, f32 } = writer.asm;
    return [writer.bind(partType(type), type.element === "f32" ? f32.reinterpret(value) : i32.reinterpret(value))];
  },
  widenS: widen(({ i16x8, i32x4 }) => ({
    i8x16: [i16x8.extend_low_i8x16_s, i16x8.extend_high_i8x16_s],
    i16x8: [i32x4.extend_low_i16x8_s, i32x4.extend_high_i16x8_s],
  })),
  widenU: widen(({ i16x8, i32x4 }) => ({
    i8x16: [i16x8.extend_low_i8x16_u, i16x8.extend_high_i8x16_u],
    i16x8: [i32x4.extend_low_i16x8_u, i32x4.extend_high_i16x8_u],
  })),
  narrowS: narrow,

  concat: ({ writer, args }) => {
    if (args.some(({ type }) => bytesOfType(type) % partBytes !== 0)) internal("concat of vectors that do not fill their parts");
    return args.flatMap((value) => writer.parts(value));
  },
  shuffle: ({ writer, args, immediates, type }) => shuffleParts(writer, args, immediates, type),
  lane: (operands) => {
    const { writer, type } = operands;
    const lane = immediate(operands, 0);
    const part = required(writer.parts(arg(operands, 0))[lane >> 2], "part")();
    const { i32x4, f32x4 } = writer.asm;
    return [writer.bind(partType(type), type.element === "f32" ? f32x4.extract_lane(part, lane & 3) : i32x4.extract_lane(part, lane & 3))];
  },
  dotPairs: binary(({ i32x4 }) => ({ i16x8: i32x4.dot_i16x8_s })),
  // Relaxed SIMD's: the unsigned operand has seven bits, which is the atom's to keep.
  dotQuadsUS: (operands) => {
    const { writer } = operands;
    const [sums, unsigned, signed] = [0, 1, 2].map((i) => writer.parts(arg(operands, i)));
    return required(sums, "sums").map((sum, i) =>
      writer.bind("v128", writer.asm.relaxedDot(sum(), required(unsigned?.[i], "part")(), required(signed?.[i], "part")())),
    );
  },

  load,
  loadSplat: (operands) => {
    const { writer, type } = operands;
    const address = writer.address(arg(operands, 0), arg(operands, 1));
    return everyPart(type, writer.bind("v128", writer.asm.v128.load32_splat(immediate(operands, 0), 4, address())));
  },
  load8: narrowLoad(1, ({ i32 }) => i32.load8_u),
  load16: narrowLoad(2, ({ i32 }) => i32.load16_u),
  advance: (operands) => {
    const { writer } = operands;
    const [pointer, index] = [writer.scalar(arg(operands, 0)), writer.scalar(arg(operands, 1))];
    return [writer.bind("ptr", writer.asm.advance(pointer, index, immediate(operands, 0)))];
  },
};

/** Bytes shifted right, as machines without such a shift do it: in pairs, less the bits that came from the neighbour. */
function shiftedBytes(operands: Operands, a: Expression): Expression {
  const { writer } = operands;
  const { i16x8, i32, v128 } = writer.asm;
  const bits = immediate(operands, 0);
  const mask = writer.constant(new Array<number>(partBytes).fill(0xff >> bits));
  return v128.and(i16x8.shr_u(a, i32.const(bits)), mask());
}

/** min(a, b) = b < a ? b : a and max(a, b) = a < b ? b : a, on scalars. */
function scalarChoice(operands: Operands, which: "min" | "max"): readonly Reader[] {
  const { writer } = operands;
  const { f32 } = writer.asm;
  const [a, b] = [required(writer.parts(arg(operands, 0))[0], "part"), required(writer.parts(arg(operands, 1))[0], "part")];
  const second = which === "min" ? f32.lt(b(), a()) : f32.lt(a(), b());
  return [writer.bind("f32", writer.asm.select(second, b(), a()))];
}

/** The row of an operation. */
export function emissionNamed(op: string): Emission {
  return Object.hasOwn(emissions, op) ? emissions[op as keyof typeof emissions] : internal(`WebAssembly has no ${op}`);
}
