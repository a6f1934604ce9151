/** Registers of 16 bytes and the names of the intrinsics that work on them: what the rows of the NEON sets are written with. */
import { internal, required } from "../../../compiler/errors.ts";
import { bytesOfElement, type Element } from "../../../compiler/kernel/ir.ts";
import type { HeldOperand } from "./isa.ts";

/** Every vector lies in registers of this size, shorter ones in the low part of one. */
export const registerBytes = 16;

const suffixes = { f32: "f32", i32: "s32", i16: "s16", i8: "s8" } as const;
const types = { f32: "float32x4_t", i32: "int32x4_t", i16: "int16x8_t", i8: "int8x16_t" } as const;

function held(element: Element): keyof typeof suffixes {
  return element === "ptr" ? internal("no vectors of pointers") : element;
}

/** `f32`, `s8`, …: the form of an intrinsic for an element. */
export function suffix(element: Element): string {
  return suffixes[held(element)];
}

/** The same for lanes taken as unsigned. */
export function unsigned(element: Element): string {
  return suffix(element).replace("s", "u");
}

/** The C type of a register. */
export function registerType(element: Element): string {
  return types[held(element)];
}

/** A register seen under another form. */
export function cast(register: string, from: string, to: string): string {
  return from === to ? register : `vreinterpretq_${to}_${from}(${register})`;
}

/** Memory is read and written as bytes, which may lie anywhere and alias everything. */
export function load(pointer: string, element: Element): string {
  return cast(`vld1q_u8(${pointer})`, "u8", suffix(element));
}

export function store(pointer: string, value: string, element: Element): string {
  return `vst1q_u8(${pointer}, ${cast(value, suffix(element), "u8")})`;
}

/** The lanes that start at a byte, moved to the front. */
export function part(register: string, element: Element, offset: number): string {
  return offset === 0 ? register : `vextq_${suffix(element)}(${register}, ${register}, ${offset / bytesOfElement(element)})`;
}

/** The whole register in which a lane of an operand lies, and the lane's place there. */
export function registerOf({ type, lanes }: HeldOperand, lane: number): { readonly register: string; readonly lane: number } | undefined {
  const perRegister = Math.min(type.lanes, registerBytes / bytesOfElement(type.element));
  const within = lane % perRegister;
  const register = lanes(lane - within, perRegister);
  return register === undefined ? undefined : { register, lane: within };
}

/** An argument of a row. */
export function argument(args: readonly string[], index: number): string {
  return required(args[index], "operand");
}
