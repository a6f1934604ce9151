/** Each invariant of a graph, broken alone. */
import { describe, expect, test } from "vitest";
import { createBuilder } from "../../compiler/graph/builder.ts";
import type { Attributes, Encoding, Graph, Node, ValueType } from "../../compiler/graph/types.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { buildRandomGraph, type GraphSpec } from "./random-graph.ts";

const spec: GraphSpec = {
  hidden: 6,
  vocabulary: 9,
  layers: [
    {
      operator: { kind: "conv", width: 3, bias: true },
      feedForward: { kind: "moe", experts: 3, topK: 2, inner: 5, normalize: true, bias: true, scale: 1 },
    },
    {
      operator: { kind: "attention", kvHeads: 1, queriesPerKey: 2, halfHead: 2, window: null, kv: "f32" },
      feedForward: { kind: "dense", width: 7 },
    },
  ],
  weights: "q4_0",
  quantize: true,
  fused: false,
};
const graph = buildRandomGraph(spec);

function withNode(output: string, change: (node: Node) => Node): Graph {
  return { ...graph, nodes: graph.nodes.map((node) => (node.outputs[0] === output ? change(node) : node)) };
}

function withAttributes(output: string, attributes: Attributes): Graph {
  return withNode(output, (node) => ({ ...node, attributes: { ...node.attributes, ...attributes } }));
}

function withType(name: string, type: Partial<ValueType>): Graph {
  return { ...graph, constants: graph.constants.map((each) => (each.name === name ? { ...each, type: { ...each.type, ...type } } : each)) };
}

test("the graph itself holds", () => {
  expect(() => {
    verifyGraph(graph);
  }).not.toThrow();
});

describe("each invariant", () => {
  const without = (output: string): Graph => ({ ...graph, nodes: graph.nodes.filter((node) => node.outputs[0] !== output) });
  test.each<readonly [string, Graph, string]>([
    ["values are defined before use", without("embed"), "layer.0.operator_norm: its input embed is not defined before it"],
    ["names are defined once", { ...graph, nodes: [...graph.nodes, ...graph.nodes.slice(-1)] }, "logits: is defined twice"],
    ["names are legal", withNode("logits", (node) => ({ ...node, outputs: ["lo gits"] })), "lo gits: is no legal name"],
    ["ops are known", withNode("embed", (node) => ({ ...node, op: "toString" })), 'embed: unknown op "toString"'],
    ["inputs are counted", withNode("embed", (node) => ({ ...node, inputs: [] })), "embed: embedding has 0 inputs, expected table"],
    [
      "outputs are counted",
      withNode("layer.0.router.experts", (node) => ({ ...node, outputs: ["layer.0.router.experts"] })),
      "router has 2 outputs, not 1",
    ],
    ["attributes are known", withAttributes("embed", { scale: 2 }), "embed: unknown attribute scale"],
    [
      "attributes are there",
      withNode("logits", (node) => ({ ...node, attributes: { bias: false } })),
      "logits: attribute residual is absent",
    ],
    ["attributes have their kind", withAttributes("logits", { bias: 1 }), "logits: attribute bias is 1, expected true or false"],
    [
      "counts are integers",
      withAttributes("layer.0.conv", { width: 2.5 }),
      "layer.0.conv: attribute width is 2.5, expected an integer from 1",
    ],
    [
      "words are known",
      withAttributes("layer.1.attention", { kv: "f8" }),
      'layer.1.attention: attribute kv is "f8", expected "f32" or "f16" or "q8_0"',
    ],
    ["numbers are finite", withAttributes("layer.0.router.experts", { scale: Infinity }), "attribute scale is null, expected a number"],
    ["states are unique", withAttributes("layer.1.attention", { state: 0 }), "layer.1.attention: has state 0, which is layer.0.conv's"],
    [
      "heads share keys evenly",
      withAttributes("layer.1.attention", { heads: 2, kvHeads: 2 }),
      "layer.1.attention: k is 4 wide, expected 8",
    ],
    ["widths agree", withType("layer.1.w1", { shape: [7, 5] }), "layer.1.w1: has rows of 5 elements, its source layer.1.w1 of 6"],
    ["sources fill the constant", withType("embedding", { shape: [8, 6] }), "embedding: has 48 elements, its sources 54"],
    ["constants have no open axis", withType("embedding", { shape: ["rows", 6] }), "embedding: is a constant and q4_0[rows, 6]"],
    [
      "quantised activations need quantised weights",
      withType("layer.1.w1", { encoding: "f16" }),
      "layer.1.gate: weight is f16, expected q3_0 or q4_0 or q4_1 or q8_0",
    ],
    ["norms stay f32", withType("layer.0.ffn_norm.weight", { encoding: "f16" }), "layer.0.ffn_norm: weight is f16, expected f32"],
    ["the router stays f32", withType("layer.0.router", { encoding: "q4_0" }), "layer.0.router.experts: gate is q4_0, expected f32"],
    ["the output is there", { ...graph, output: "nothing" }, "nothing: is the graph's output and not defined"],
    [
      "the output is logits",
      { ...graph, output: "embed" },
      "embed: is the graph's output and f32[rows, 6], expected f32[logits, vocabulary]",
    ],
    [
      "experts are no more than there are",
      withAttributes("layer.0.router.experts", { topK: 4 }),
      "layer.0.router.experts: topK 4 of 3 experts",
    ],
    [
      "an expert has as many gate rows as up rows",
      withType("layer.0.experts.gate_up", { shape: [2, 15, 6] }),
      "layer.0.ffn_out: gate_up has 15 rows an expert, expected an even number",
    ],
    [
      "gate_up and down agree in the number of experts",
      withType("layer.0.experts.gate_up", { shape: [1, 30, 6] }),
      "layer.0.ffn_out: down is q4_0[3, 6, 5], expected [1, 6, 15]",
    ],
    [
      "gate_up and down agree in the expert size",
      withType("layer.0.experts.down", { shape: [6, 3, 5] }),
      "layer.0.ffn_out: down is q4_0[6, 3, 5], expected [3, 6, 5]",
    ],
  ])("%s", (_what, broken, message) => {
    expect(() => {
      verifyGraph(broken);
    }).toThrow(message);
  });

  test.each<Encoding>(["q8", "i32"])("constants are not %s", (encoding) => {
    expect(() => {
      verifyGraph(withType("embedding", { encoding }));
    }).toThrow(`embedding: is a constant in ${encoding}`);
  });
});

test("the builder refuses a node where it is added", () => {
  const builder = createBuilder();
  expect(() => builder.node("quantize", ["x"], "y")).toThrow("y: its input x is not defined before it");
  expect(() => builder.typeOf("x")).toThrow("x: is not defined");
  builder.constant({ name: "x", type: { shape: [2, 2], encoding: "f32" }, sources: [] });
  expect(() => builder.node("quantize", ["x"], "y")).toThrow("y: x is f32[2, 2], expected [rows, width]");
  expect(builder.typeOf(builder.node("embedding", ["x"], "e"))).toEqual({ shape: ["rows", 2], encoding: "f32" });
});
