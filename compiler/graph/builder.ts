/**
 * Records a graph node by node. Types are inferred as nodes are added, so a mistake shows where it is made; the result is
 * verified and immutable.
 */
import { LfmcError } from "../errors.ts";
import { defineNodeTypes, defineType } from "./types-of.ts";
import type { Attributes, Constant, Graph, Node, ValueName, ValueType } from "./types.ts";
import { verifyGraph } from "./verify.ts";

export interface GraphBuilder {
  /** Adds a weight and returns its name. */
  constant(constant: Constant): ValueName;
  /** Adds a node of one output and returns the output's name. */
  node(op: string, inputs: readonly ValueName[], output: ValueName, attributes?: Attributes): ValueName;
  /** Adds a node of several outputs. */
  nodes(op: string, inputs: readonly ValueName[], outputs: readonly ValueName[], attributes?: Attributes): void;
  /** The type of a value added before; graph/invalid where there is none. */
  typeOf(value: ValueName): ValueType;
  /** The verified graph whose logits are `output`. */
  finish(name: string, output: ValueName): Graph;
}

/** Starts an empty graph. All methods throw graph/invalid, naming the value they are about. */
export function createBuilder(): GraphBuilder {
  const constants: Constant[] = [];
  const recorded: Node[] = [];
  const types = new Map<ValueName, ValueType>();
  const add = (node: Node): void => {
    defineNodeTypes(types, node);
    recorded.push(node);
  };
  return {
    constant(constant) {
      defineType(types, constant.name, constant.type);
      constants.push(constant);
      return constant.name;
    },
    node(op, inputs, output, attributes = {}) {
      add({ op, inputs, outputs: [output], attributes });
      return output;
    },
    nodes(op, inputs, outputs, attributes = {}) {
      add({ op, inputs, outputs, attributes });
    },
    typeOf(value) {
      const type = types.get(value);
      if (!type) throw new LfmcError("graph/invalid", "is not defined", { subject: value, hint: "define values before they are used" });
      return type;
    },
    finish(name, output) {
      const graph: Graph = { name, constants: [...constants], nodes: [...recorded], output };
      verifyGraph(graph);
      return graph;
    },
  };
}
