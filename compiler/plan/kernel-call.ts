/**
 * Kernel calls whose operands have no addresses yet: what the rules of select.ts make of a node, and the parts they are made of.
 */
import { required } from "../errors.ts";
import type { Node, ValueName, ValueType } from "../graph/types.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { PanelLayout } from "../kernel/library/panels.ts";
import type { Buffer, BufferPart } from "./buffers.ts";
import type { Limits, RowCount } from "./program.ts";
import type { StateLayout } from "./state.ts";
import type { TargetFacts } from "./target-facts.ts";

/** An argument whose address is not known yet. */
export type Operand =
  | { readonly kind: "value"; readonly value: ValueName; readonly part: BufferPart }
  | { readonly kind: "weight"; readonly constant: ValueName }
  | { readonly kind: "state"; readonly layer: number }
  | { readonly kind: "rows" }
  | { readonly kind: "choices" }
  | { readonly kind: "scratch" }
  | { readonly kind: "temporary"; readonly temporary: Temporary; readonly part: BufferPart }
  | { readonly kind: "count"; readonly of: RowCount };

/** A value that only the calls of one node know. */
export interface Temporary {
  readonly name: string;
  readonly buffer: Buffer;
}

/** A kernel call, its arguments by parameter name. */
export interface KernelCall {
  readonly kernel: Kernel;
  readonly label: ValueName;
  readonly arguments: Readonly<Record<string, Operand>>;
  /** Scratch memory of this call alone. */
  readonly scratchBytes: number;
  /** The kernel's loop whose turns are independent of each other, and how many it has; null for a kernel that must run as a whole. */
  readonly axis: Axis | null;
}

export interface Axis {
  readonly loop: string;
  readonly units: number | RowCount;
}

export interface SelectContext {
  readonly target: TargetFacts;
  readonly limits: Limits;
  readonly state: StateLayout;
  /** Elements from row to row of an f32 value. */
  readonly strideOf: (value: ValueName) => number;
  /** The last axis of a value. */
  readonly widthOf: (value: ValueName) => number;
  readonly typeOf: (value: ValueName) => ValueType;
  readonly layoutOf: (constant: ValueName) => PanelLayout;
}

/** The calls that compute a node. */
export type Rule = (node: Node, context: SelectContext) => readonly KernelCall[];

export const value = (name: ValueName): Operand => ({ kind: "value", value: name, part: "data" });
export const weight = (constant: ValueName): Operand => ({ kind: "weight", constant });
export const rows: Operand = { kind: "rows" };
export const choices: Operand = { kind: "choices" };
export const scratch: Operand = { kind: "scratch" };

/** An input of a node. */
export function input(node: Node, index: number): ValueName {
  return required(node.inputs[index], `input ${index} of ${node.op}`);
}

/** An output of a node, its first by default. */
export function output(node: Node, index = 0): ValueName {
  return required(node.outputs[index], `output ${index} of ${node.op}`);
}

/** The count of a value's rows. */
function countOf(context: SelectContext, name: ValueName): RowCount {
  return context.typeOf(name).shape[0] === "logits" ? "logits" : "rows";
}

/** The operand of each part of a value, or of a temporary. */
export type Parts = (part: BufferPart) => Operand;

/** The parts of a value. */
export function partsOf(name: ValueName): Parts {
  return (part) => ({ kind: "value", value: name, part });
}

/** Pointers to a quantised value, by the parameter names that kernels share. */
export function quantized(parts: Parts): Record<"xq" | "xd" | "xs", Operand> {
  return { xq: parts("q"), xd: parts("scales"), xs: parts("sums") };
}

/** Pointers to activations in either form. */
export function activations(isQuantized: boolean, parts: Parts): Readonly<Record<string, Operand>> {
  return isQuantized ? quantized(parts) : { x: parts("data") };
}

/** A call whose rows are independent of each other, unless `more` says otherwise. */
export function call(
  node: Node,
  context: SelectContext,
  kernel: Kernel,
  args: Readonly<Record<string, Operand>>,
  more: Partial<Pick<KernelCall, "scratchBytes" | "axis">> = {},
): KernelCall {
  const of = countOf(context, output(node));
  const axis = { loop: "row", units: of };
  return { kernel, label: output(node), arguments: { rows: { kind: "count", of }, ...args }, scratchBytes: 0, axis, ...more };
}
