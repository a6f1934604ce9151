/** What nothing reads vanishes, and nothing else. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Constant, Node } from "../../compiler/graph/types.ts";
import { runPasses } from "../../compiler/passes/index.ts";
import { deadValues } from "../../compiler/passes/dead-values.ts";
import { after, expertMatrices, linear, text, vector, weight } from "./graph-text.ts";
import { randomModels } from "./random-model.ts";

const y = "y: f32[rows, 4] = add(x, x)";

describe("dead-values", () => {
  test.each([
    ["a constant", [weight("w", 4, 4), y]],
    ["a node, and the constant that it alone reads", [weight("w", 4, 4), linear("a", 4, "x", "w"), y]],
    [
      "a chain",
      [vector("n", 4), "a: f32[rows, 4] = rms-norm(x, n) epsilon=0.001 width=4 quantize=false", y, "b: f32[rows, 4] = add(a, y)"],
    ],
    [
      "a node with a state",
      ['a: f32[rows, 4] = attention(x, x, x) heads=1 kvHeads=1 headSize=4 scale=0.5 window=null state=0 kv="f32"', y],
    ],
    ["a router of which neither output is read", [weight("g", 2, 4), routed(), y]],
  ])("drops %s", (_case, lines) => {
    expect(after(deadValues, text(...lines))).toBe(text(y));
  });

  test("keeps a node of which one output is read", () => {
    const both = "y: f32[rows, 4] = experts(x, e, p2, gate_up, down) residual=false";
    const source = text(weight("g", 2, 4), ...expertMatrices(), routed(), routed("e2", "p2"), both);
    expect(after(deadValues, source)).toBe(source);
  });

  test("takes exactly what was added to a model and is read by nothing", () => {
    fc.assert(
      fc.property(randomModels, ({ graph }) => {
        const idle: Constant = {
          name: "idle",
          type: { shape: [1], encoding: "f32" },
          sources: [{ tensor: "t", shape: [1], start: 0, count: 1 }],
        };
        // A second copy of each node, over the copies of what it reads; the graph's output is the first copy's.
        const copied = new Set(graph.nodes.flatMap(({ outputs }) => outputs));
        const copyOf = (name: string): string => (copied.has(name) ? `${name}.copy` : name);
        const copy = (node: Node, index: number): Node => ({
          ...node,
          inputs: node.inputs.map(copyOf),
          outputs: node.outputs.map(copyOf),
          attributes: node.attributes.state === undefined ? node.attributes : { ...node.attributes, state: 1000 + index },
        });
        const doubled = { ...graph, constants: [idle, ...graph.constants], nodes: graph.nodes.flatMap((node, i) => [node, copy(node, i)]) };
        expect(runPasses(doubled, [deadValues])).toEqual(graph);
        expect(runPasses(graph, [deadValues])).toEqual(graph);
      }),
    );
  });
});

function routed(experts = "e", weights = "p"): string {
  return `${experts}: i32[rows, 1], ${weights}: f32[rows, 1] = router(x, g) expertCount=2 topK=1 normalize=true scale=1 bias=false`;
}
