/**
 * A graph as text: one line a constant, with its sources, one line a node, with its types. parse.ts reads it back to the identical
 * graph; the grammar is there.
 *
 *   graph "dense-tiny"
 *   const embed_tokens: f32[512, 64] = "model.embed_tokens.weight"[512, 64]
 *   const gate: q4_0[4, 32, 64] = "experts"[4, 64, 64] rows 0..31, "experts"[4, 64, 64] rows 64..95
 *   embed: f32[rows, 64] = embedding(embed_tokens)
 *   layer.0.ffn_norm: f32[rows, 64] = rms-norm(layer.0.op_sum, ffn_norm) epsilon=0.00001 width=64 quantize=false
 *   output logits
 */
import { required } from "../errors.ts";
import { formatType } from "./operands.ts";
import { inferTypes, type TypeMap } from "./types-of.ts";
import type { Attribute, Constant, Graph, Node, TensorSlice } from "./types.ts";

/** The text of a verified graph, ending in a line feed. Throws graph/invalid where types do not agree. */
export function printGraph(graph: Graph): string {
  const types = inferTypes(graph);
  const lines = [
    `graph ${JSON.stringify(graph.name)}`,
    ...graph.constants.map(printConstant),
    ...graph.nodes.map((node) => printNode(node, types)),
    `output ${graph.output}`,
  ];
  return `${lines.join("\n")}\n`;
}

function printConstant({ name, type, sources }: Constant): string {
  return `const ${name}: ${formatType(type)} = ${sources.map(printSource).join(", ")}`;
}

/** Rows are left out where they are all. */
function printSource({ tensor, shape, start, count }: TensorSlice): string {
  const whole = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const rows = start === 0 && count === whole ? "" : ` rows ${start}..${start + count - 1}`;
  return `${JSON.stringify(tensor)}[${shape.join(", ")}]${rows}`;
}

/** One node as a line of text, its outputs' types included. */
export function printNode({ op, inputs, outputs, attributes }: Node, types: TypeMap): string {
  const results = outputs.map((name) => `${name}: ${formatType(required(types.get(name), `type of ${name}`))}`);
  const details = Object.entries(attributes).map(([name, value]) => ` ${name}=${printAttribute(value)}`);
  return `${results.join(", ")} = ${op}(${inputs.join(", ")})${details.join("")}`;
}

function printAttribute(value: Attribute): string {
  if (typeof value === "string") return JSON.stringify(value);
  return Object.is(value, -0) ? "-0" : String(value);
}
