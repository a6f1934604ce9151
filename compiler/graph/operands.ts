/**
 * A node's inputs by name: their types, as an op's shape rule sees them, and their tensors, as its meaning sees them. Type
 * faults are the graph's (graph/invalid); a tensor of another kind than the types promised is a fault of lfmc.
 */
import { internal, LfmcError } from "../errors.ts";
import { groupFormatNamed, groupFormats } from "../numeric/weight-groups.ts";
import type { Activation, DenseTensor, IndexTensor, Tensor, Weight } from "./tensor.ts";
import type { Encoding, ValueType } from "./types.ts";

/** Encodings in groups. */
const groupedEncodings: readonly Encoding[] = Object.values(groupFormats).map(({ name }) => name);
/** Encodings that a constant may have. */
export const weightEncodings: readonly Encoding[] = ["f32", "f16", "bf16", ...groupedEncodings];

/** Whether weights of this encoding lie in groups: those may meet quantised activations. */
export function isGrouped(encoding: Encoding): boolean {
  return groupFormatNamed(encoding) !== undefined;
}

/** The type of a [rows, width] value. */
export interface ActivationType {
  readonly rows: "rows" | "logits";
  readonly width: number;
  readonly encoding: Encoding;
}

export class OperandTypes {
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #subject: string;

  constructor(types: ReadonlyMap<string, ValueType>, subject: string) {
    this.#types = types;
    this.#subject = subject;
  }

  /** Throws graph/invalid about the node. */
  fail(fact: string): never {
    throw new LfmcError("graph/invalid", fact, {
      subject: this.#subject,
      hint: "correct its inputs: graph/README.md lists what the op takes",
    });
  }

  get(name: string): ValueType {
    return this.#types.get(name) ?? internal(`no operand ${name}`);
  }

  /** An activation [rows, width]; `width` is checked where given. */
  activation(name: string, expected: { readonly width?: number; readonly encodings?: readonly Encoding[] } = {}): ActivationType {
    const { shape, encoding } = this.get(name);
    const [rows, width] = shape;
    const { encodings = ["f32"] } = expected;
    if (shape.length !== 2 || typeof rows !== "string" || typeof width !== "number") {
      return this.fail(`${name} is ${formatType(this.get(name))}, expected [rows, width]`);
    }
    if (!encodings.includes(encoding)) this.fail(`${name} is ${encoding}, expected ${encodings.join(" or ")}`);
    if (expected.width !== undefined && width !== expected.width) {
      this.fail(`${name} is ${width} wide, expected ${expected.width}`);
    }
    return { rows, width, encoding };
  }

  /** Like `activation`, and beside it: the same count of rows as `other`. */
  activationBeside(name: string, other: ActivationType, width: number, encodings: readonly Encoding[] = ["f32"]): ActivationType {
    const type = this.activation(name, { width, encodings });
    if (type.rows !== other.rows) this.fail(`${name} has as many rows as there are ${type.rows}, expected ${other.rows}`);
    return type;
  }

  /** A weight of `axes` axes; null stands for any length. Returns its shape. */
  weight(name: string, expected: readonly (number | null)[], encodings: readonly Encoding[] = ["f32"]): readonly number[] {
    const { shape, encoding } = this.get(name);
    const fits = shape.length === expected.length && shape.every((size, axis) => fitsAxis(size, expected[axis]));
    if (!fits) {
      const wanted = expected.map((size) => (size === null ? "any" : String(size))).join(", ");
      this.fail(`${name} is ${formatType(this.get(name))}, expected [${wanted}]`);
    }
    if (!encodings.includes(encoding)) this.fail(`${name} is ${encoding}, expected ${encodings.join(" or ")}`);
    return shape.filter((size) => typeof size === "number");
  }

  /** The weight of a product with `x`: any weight encoding for f32 activations, one in groups for quantised ones. */
  productWeight(name: string, x: ActivationType, expected: readonly (number | null)[]): readonly number[] {
    return this.weight(name, expected, x.encoding === "q8" ? groupedEncodings : weightEncodings);
  }
}

function fitsAxis(size: number | string, expected: number | null | undefined): boolean {
  return typeof size === "number" && (expected === null || size === expected);
}

/** `f32[rows, 64]`, the text form of a type. */
export function formatType({ shape, encoding }: ValueType): string {
  return `${encoding}[${shape.join(", ")}]`;
}

/** The type of a [rows, width] value. */
export function activationType(rows: "rows" | "logits", width: number, encoding: Encoding = "f32"): ValueType {
  return { shape: [rows, width], encoding };
}

export class Operands {
  readonly #tensors: ReadonlyMap<string, Tensor>;

  constructor(tensors: ReadonlyMap<string, Tensor>) {
    this.#tensors = tensors;
  }

  get(name: string): Tensor {
    return this.#tensors.get(name) ?? internal(`no operand ${name}`);
  }

  dense(name: string): DenseTensor {
    const tensor = this.get(name);
    return tensor.kind === "dense" ? tensor : internal(`operand ${name} is ${tensor.kind}`);
  }

  /** The data of a dense operand, or undefined where the node has no such operand. */
  optional(name: string): Float32Array | undefined {
    return this.#tensors.has(name) ? this.dense(name).data : undefined;
  }

  indices(name: string): IndexTensor {
    const tensor = this.get(name);
    return tensor.kind === "index" ? tensor : internal(`operand ${name} is ${tensor.kind}`);
  }

  activation(name: string): Activation {
    const tensor = this.get(name);
    return tensor.kind === "dense" || tensor.kind === "activations" ? tensor : internal(`operand ${name} is ${tensor.kind}`);
  }

  weight(name: string): Weight {
    const tensor = this.get(name);
    return tensor.kind === "dense" || tensor.kind === "weights" ? tensor : internal(`operand ${name} is ${tensor.kind}`);
  }
}
