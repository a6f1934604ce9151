/** How a value of the kernel IR is held in C under an instruction set: as a scalar, in registers, or as an array of lanes. */
import { internal } from "../../compiler/errors.ts";
import { bytesOfElement, bytesOfType, printType, type Element, type Type } from "../../compiler/kernel/ir.ts";
import type { Isa } from "./isa/isa.ts";

export type Holding = { readonly kind: "array" } | { readonly kind: "registers"; readonly bytes: number; readonly count: number };

const scalarTypes = { i8: "int8_t", i16: "int16_t", i32: "int32_t", f32: "float", ptr: "unsigned char *" } as const;

/** The C type of one element; a pointer is one to bytes. */
export function elementType(element: Element): string {
  return scalarTypes[element];
}

/** A vector fills one register, the narrowest that holds it, or several of the widest. */
export function holdingOf({ registers }: Isa, type: Type): Holding {
  const bytes = bytesOfType(type);
  const widest = registers.at(-1);
  if (widest === undefined) return { kind: "array" };
  const single = registers.find((width) => width >= bytes);
  if (single !== undefined) return { kind: "registers", bytes: single, count: 1 };
  if (bytes % widest !== 0) return internal(`${printType(type)} fills no registers of ${widest} bytes`);
  return { kind: "registers", bytes: widest, count: bytes / widest };
}

/** The typedef of a vector type: a register, or a structure of registers or lanes. Types with the same registers are the same C type. */
export function typeDefinitions(isa: Isa, types: readonly Type[]): readonly string[] {
  const structures = new Map<string, string>();
  const names = types.map((type) => {
    const holding = holdingOf(isa, type);
    const name = printType(type);
    if (holding.kind === "array") return `typedef struct ${name} { ${elementType(type.element)} lane[${type.lanes}]; } ${name};`;
    const register = isa.registerType(type.element, holding.bytes);
    if (holding.count === 1) return `typedef ${register} ${name};`;
    const structure = `${register.replace(/^_+/, "").replace(/_t$/, "")}_${holding.count}`;
    structures.set(structure, `typedef struct ${structure} { ${register} part[${holding.count}]; } ${structure};`);
    return `typedef ${structure} ${name};`;
  });
  return [...structures.values(), ...names];
}

/** Whether values of both types are the same bytes of the same C type. */
export function isSameInC(isa: Isa, a: Type, b: Type): boolean {
  const [left, right] = [holdingOf(isa, a), holdingOf(isa, b)];
  if (left.kind === "array" || right.kind === "array") return false;
  const registers = left.bytes === right.bytes && left.count === right.count;
  return registers && isa.registerType(a.element, left.bytes) === isa.registerType(b.element, right.bytes);
}

/** Lanes of a register. */
export function lanesPerRegister({ element }: Type, registerBytes: number): number {
  return registerBytes / bytesOfElement(element);
}
