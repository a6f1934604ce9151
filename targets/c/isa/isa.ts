/**
 * What an instruction set is to the C target: how vectors are held, and which operations it has instructions for. A set is a record;
 * whatever it does not name is done lane by lane (vocabulary), so that every set is whole from its first row.
 */
import type { DotAtom } from "../../../compiler/kernel/atom.ts";
import type { Element, Type } from "../../../compiler/kernel/ir.ts";
import type { OperationName } from "../../../compiler/kernel/ops.ts";

/** Registers of the same place in every operand. */
export interface RegisterCall {
  /** Of the first operand's lanes, and of the result's. */
  readonly element: Element;
  readonly result: Element;
  /** Width of the registers. */
  readonly bytes: number;
  /** Expressions, one an operand. */
  readonly args: readonly string[];
  readonly immediates: readonly number[];
}

/** One register of the result, where it depends on the same register of each operand alone; undefined where there is no such instruction. */
export type RegisterRow = (call: RegisterCall) => string | undefined;

/** An operand that is held in registers. */
export interface HeldOperand {
  readonly type: Type;
  /** `count` lanes from `lane` on, in the narrowest register that holds them: a part of a register, or registers put together; undefined where that takes several instructions. */
  readonly lanes: (lane: number, count: number) => string | undefined;
}

/** A call whose result is not made register by register. */
export interface ValueCall {
  readonly type: Type;
  readonly operands: readonly HeldOperand[];
  /** Scalar operands by name. */
  readonly args: readonly string[];
  readonly immediates: readonly number[];
}

/** The register of the result that holds `count` lanes from `lane` on; undefined where it takes the way through memory. */
export type ValueRow = (call: ValueCall, lane: number, count: number, bytes: number) => string | undefined;

/** Statements on the addresses of operands and result; undefined for types that the instruction does not take. */
export type MemoryRow = (operands: readonly string[], result: string, type: Type) => readonly string[] | undefined;

export interface Isa {
  /** As in `--variant`. */
  readonly name: string;
  /** What a unit needs of its compiler: the architecture, `target` features, headers of intrinsics. */
  readonly architecture: "any" | "x86" | "arm";
  readonly targets: readonly string[];
  readonly headers: readonly string[];
  /** Widths of the registers in bytes, narrowest first; none where vectors are arrays. */
  readonly registers: readonly number[];
  readonly registerCount: number;
  /** The C type of a register. */
  readonly registerType: (element: Element, bytes: number) => string;
  readonly byRegister: Readonly<Partial<Record<OperationName, RegisterRow>>>;
  readonly byValue: Readonly<Partial<Record<OperationName, ValueRow>>>;
  /** Instructions that work on memory. */
  readonly byMemory?: Readonly<Partial<Record<OperationName, MemoryRow>>>;
  /** The part of a register: `bytes` bytes from `offset` on in the narrowest register; undefined where it takes several instructions. */
  readonly part: (register: string, element: Element, width: number, offset: number, bytes: number) => string | undefined;
  /** Loads and stores a whole register at an expression of type `unsigned char *`. */
  readonly load: (pointer: string, element: Element, bytes: number) => string;
  readonly store: (pointer: string, value: string, element: Element, bytes: number) => string;
  /** Definitions that rows use. */
  readonly prelude: readonly string[];
  /** Statements round a thread's part of a forward pass. */
  readonly enter: string | null;
  readonly leave: string | null;
  /** Best first. */
  readonly atoms: readonly DotAtom[];
}
