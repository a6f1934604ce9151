/**
 * What an op is: its attributes, the names of its inputs, the rule that gives its outputs' types, and its meaning. `defineOp`
 * turns a description over typed attributes and named operands into the plain record that the registry holds.
 */
import { internal, LfmcError } from "../../errors.ts";
import type { Arithmetic } from "../arithmetic/arithmetic.ts";
import { readAttributes, type AttributeReader } from "../attributes.ts";
import { Operands, OperandTypes } from "../operands.ts";
import type { SessionState } from "../state.ts";
import type { Tensor } from "../tensor.ts";
import type { Attributes, Row, ValueType } from "../types.ts";

/** What a node's meaning may depend on beside its inputs. */
export interface EvaluationContext {
  readonly arithmetic: Arithmetic;
  readonly rows: readonly Row[];
  readonly state: SessionState;
}

export interface OpDefinition {
  readonly name: string;
  /** Names of the inputs, in order; optional inputs are there where a flag says so. Throws graph/invalid for wrong attributes. */
  readonly operands: (attributes: Attributes, subject: string) => readonly string[];
  /** Types of the outputs. Throws graph/invalid, naming `subject`, for inputs or attributes that the op does not take. */
  readonly infer: (inputs: readonly ValueType[], attributes: Attributes, subject: string) => readonly ValueType[];
  /** The op's reference meaning. Inputs and attributes are those that `infer` accepted. */
  readonly evaluate: (context: EvaluationContext, inputs: readonly Tensor[], attributes: Attributes) => readonly Tensor[];
}

/** An op with its attributes' type: `read` gives other stages typed access to them. */
export interface TypedOp<A> extends OpDefinition {
  readonly read: (attributes: Attributes, subject: string) => A;
}

interface Description<A> {
  readonly name: string;
  readonly attributes: (read: AttributeReader) => A;
  readonly operands: (attributes: A) => readonly string[];
  readonly infer: (types: OperandTypes, attributes: A) => readonly ValueType[];
  readonly evaluate: (context: EvaluationContext, operands: Operands, attributes: A) => readonly Tensor[];
}

/** The record of an op, from its description. */
export function defineOp<A>(description: Description<A>): TypedOp<A> {
  const { name } = description;
  const read = (attributes: Attributes, subject: string): A => readAttributes(attributes, subject, description.attributes);
  return {
    name,
    read,
    operands: (attributes, subject) => description.operands(read(attributes, subject)),
    infer(inputs, attributes, subject) {
      const typed = read(attributes, subject);
      const names = description.operands(typed);
      if (names.length !== inputs.length) {
        const expected = names.length === 0 ? "none" : names.join(", ");
        throw new LfmcError("graph/invalid", `${name} has ${inputs.length} inputs, expected ${expected}`, {
          subject,
          hint: `its inputs are ${names.join(", ")}`,
        });
      }
      return description.infer(new OperandTypes(named(names, inputs), subject), typed);
    },
    evaluate(context, inputs, attributes) {
      const typed = read(attributes, name);
      return description.evaluate(context, new Operands(named(description.operands(typed), inputs)), typed);
    },
  };
}

function named<T>(names: readonly string[], values: readonly T[]): ReadonlyMap<string, T> {
  if (names.length !== values.length) internal(`${values.length} values for operands ${names.join(", ")}`);
  return new Map(names.flatMap((name, i) => values.slice(i, i + 1).map((value) => [name, value] as const)));
}

/** For ops without attributes. */
export function noAttributes(): null {
  return null;
}
