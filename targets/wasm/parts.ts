/** How a value becomes locals: a scalar is one, a vector one v128 for each 16 bytes. */
import { bytesOfType, type Type } from "../../compiler/kernel/ir.ts";
import type { LocalType } from "./assembler.ts";

/** Bytes of a v128. */
export const partBytes = 16;

/** How many locals a value takes. */
export function partCount(type: Type): number {
  return type.lanes === 1 ? 1 : Math.ceil(bytesOfType(type) / partBytes);
}

/** The type of a value's locals. */
export function partType(type: Type): LocalType {
  if (type.lanes > 1) return "v128";
  return type.element === "f32" || type.element === "ptr" ? type.element : "i32";
}
