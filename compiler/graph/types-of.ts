/** The types of all values of a graph, from its constants' types and its ops' rules. */
import { LfmcError } from "../errors.ts";
import { opNamed } from "./ops.ts";
import type { Graph, Node, ValueName, ValueType } from "./types.ts";

/** Types by value name, in order of definition. */
export type TypeMap = ReadonlyMap<ValueName, ValueType>;

/**
 * Types of all values. Throws graph/invalid, naming the value, where a name is defined twice or used before it is defined, or
 * where an op refuses its inputs or attributes.
 */
export function inferTypes(graph: Graph): TypeMap {
  const types = new Map<ValueName, ValueType>();
  for (const { name, type } of graph.constants) defineType(types, name, type);
  for (const node of graph.nodes) defineNodeTypes(types, node);
  return types;
}

/** Adds the type of a new value. */
export function defineType(types: Map<ValueName, ValueType>, name: ValueName, type: ValueType): void {
  if (types.has(name)) throw new LfmcError("graph/invalid", "is defined twice", { subject: name, hint: "give every value its own name" });
  types.set(name, type);
}

/** Adds the types of a node's outputs. */
export function defineNodeTypes(types: Map<ValueName, ValueType>, { op, inputs, outputs, attributes }: Node): void {
  const subject = outputs[0] ?? op;
  const inputTypes = inputs.map((input) => {
    const type = types.get(input);
    if (!type)
      throw new LfmcError("graph/invalid", `its input ${input} is not defined before it`, {
        subject,
        hint: "list nodes after those that they read",
      });
    return type;
  });
  const outputTypes = opNamed(op, subject).infer(inputTypes, attributes, subject);
  if (outputTypes.length !== outputs.length) {
    throw new LfmcError("graph/invalid", `${op} has ${outputTypes.length} outputs, not ${outputs.length}`, {
      subject,
      hint: "name each output once",
    });
  }
  outputTypes.forEach((type, i) => {
    defineType(types, outputs[i] ?? op, type);
  });
}
