/**
 * What a pass may ask about a graph: who makes a value, how often it is used, what a node's inputs are by name. Answers hold for
 * the one graph it was made of.
 */
import { internal, required } from "../errors.ts";
import { opNamed } from "../graph/ops.ts";
import { inferTypes, type TypeMap } from "../graph/types-of.ts";
import type { Constant, Graph, Node, ValueName, ValueType } from "../graph/types.ts";

export class Surroundings {
  readonly #graph: Graph;
  readonly #producers: ReadonlyMap<ValueName, Node>;
  readonly #constants: ReadonlyMap<ValueName, Constant>;
  readonly #uses: ReadonlyMap<ValueName, number>;
  #types: TypeMap | undefined;

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
    this.#constants = new Map(graph.constants.map((constant) => [constant.name, constant]));
    const uses = new Map<ValueName, number>();
    for (const input of graph.nodes.flatMap(({ inputs }) => inputs)) uses.set(input, (uses.get(input) ?? 0) + 1);
    this.#uses = uses;
  }

  /** The node that makes the value, where its op is the one named. */
  producer(value: ValueName, op: string): Node | null {
    const node = this.#producers.get(value);
    return node?.op === op ? node : null;
  }

  /** The constant of this name; null for a value that a node makes. */
  constant(value: ValueName): Constant | null {
    return this.#constants.get(value) ?? null;
  }

  /** Whether one input of one node is all that reads the value; the graph's output is read from outside too. */
  usedOnce(value: ValueName): boolean {
    return this.#uses.get(value) === 1 && !this.isOutput(value);
  }

  /** The nodes that read the value. */
  readers(value: ValueName): readonly Node[] {
    return this.#graph.nodes.filter(({ inputs }) => inputs.includes(value));
  }

  /** Whether the value is what the graph gives. */
  isOutput(value: ValueName): boolean {
    return value === this.#graph.output;
  }

  typeOf(value: ValueName): ValueType {
    this.#types ??= inferTypes(this.#graph);
    return required(this.#types.get(value), `type of ${value}`);
  }

  /** The one of the nodes that stands first in the graph. */
  earliest(nodes: readonly Node[]): Node {
    return required(
      this.#graph.nodes.find((node) => nodes.includes(node)),
      "node of the graph",
    );
  }

  /** `wanted`, or with a number after it where a value has that name already. */
  freshName(wanted: ValueName): ValueName {
    const taken = (name: ValueName): boolean => this.#producers.has(name) || this.#constants.has(name);
    let name = wanted;
    for (let count = 2; taken(name); count++) name = `${wanted}.${count}`;
    return name;
  }
}

/** The node's input that its op calls `operand`. */
export function input(node: Node, operand: string): ValueName {
  const names = opNamed(node.op, node.op).operands(node.attributes, node.op);
  return node.inputs[names.indexOf(operand)] ?? internal(`${node.op} has no operand ${operand}`);
}

/** The only output of a node that has one. */
export function output({ op, outputs }: Node): ValueName {
  const [only] = outputs;
  return only !== undefined && outputs.length === 1 ? only : internal(`${op} has ${outputs.length} outputs`);
}

/** `a.b.c` with its last part replaced: `a.b.last`. */
export function siblingName(name: ValueName, last: string): ValueName {
  return name.replace(/[^.]*$/, last);
}
