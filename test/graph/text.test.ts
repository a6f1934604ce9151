/** A graph's text reads back to the identical graph, and text that is wrong says where. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { ops } from "../../compiler/graph/ops.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import type { Graph } from "../../compiler/graph/types.ts";
import { buildRandomGraph, graphSpecs } from "./random-graph.ts";

const wrongNorm = `graph "small"
const table: q4_0[6, 4] = "a"[8, 2, 4] rows 2..4, "b"[3, 4]
const weight: f32[4] = "norm"[4]

# a comment
embed: f32[rows, 4] = embedding(table)
selected: f32[logits, 4] = select-rows(embed)
norm: f32[logits, 4] = rms-norm(selected, weight) epsilon=0.00001 width=2 quantize=false
logits: f32[logits, 6] = linear(norm, table) bias=false residual=false
output logits
`;
const correct = wrongNorm.replace('const weight: f32[4] = "norm"[4]', 'const weight: f32[2] = "norm"[2]');

/** What parsing throws, as "code subject: fact". */
function complaint(text: string): string {
  try {
    parseGraph(text);
  } catch (error) {
    if (error instanceof LfmcError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "none";
}

test("random graphs read back identically", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(graphSpecs, fc.string(), (spec, name) => {
      const graph: Graph = { ...buildRandomGraph(spec), name };
      for (const { op } of graph.nodes) seen.add(op);
      const text = printGraph(graph);
      const back = parseGraph(text);
      expect(back).toEqual(graph);
      expect(printGraph(back)).toBe(text);
    }),
    { numRuns: 200 },
  );
  expect([...seen].sort()).toEqual(ops.map(({ name }) => name).sort());
});

test("numbers of every size read back", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, minExcluded: true, noDefaultInfinity: true, noNaN: true }), (epsilon) => {
      const graph = parseGraph(correct.replace("0.00001", String(epsilon)));
      expect(graph.nodes[2]?.attributes.epsilon).toBe(epsilon);
      expect(parseGraph(printGraph(graph))).toEqual(graph);
    }),
  );
});

test("sources keep their slices", () => {
  const graph = parseGraph(correct);
  expect(graph.constants[0]).toEqual({
    name: "table",
    type: { shape: [6, 4], encoding: "q4_0" },
    sources: [
      { tensor: "a", shape: [8, 2, 4], start: 2, count: 3 },
      { tensor: "b", shape: [3, 4], start: 0, count: 3 },
    ],
  });
  expect(printGraph(graph)).toBe(correct.replace("\n# a comment", "").replace("\n\n", "\n"));
});

describe("wrong text", () => {
  test.each([
    ["", "graph/syntax text: expected at least the lines graph … and output …"],
    [correct.replace('graph "small"', "graph small"), 'graph/syntax line 1, column 7: expected a string in double quotes, found "small"'],
    [correct.replace("embedding(table)", "embedding(table"), 'graph/syntax line 6, column 38: expected ",", the line ends'],
    [
      correct.replace("q4_0[", "q5_1["),
      'graph/syntax line 2, column 18: expected an encoding in place of q5_1, found "[6, 4] = \\"a\\"[8, 2, 4] ro"',
    ],
    [correct.replace("width=2", "width=2 width=2"), "graph/syntax line 8, column 80: expected each attribute once; width was given before"],
    [correct.replace("f32[rows, 4]", "f32[rows, 5]"), "graph/invalid embed: the text says f32[rows, 5], the op gives f32[rows, 4]"],
    [correct.replace("rows 2..4", "rows 2..16"), "graph/invalid table: takes rows 2 to 16 of a, which has 16"],
    [correct.replace("embedding(", "embed("), 'graph/invalid embed: unknown op "embed"'],
  ])("%#", (text, expected) => {
    expect(complaint(text)).toContain(expected);
  });

  test("the text before each change is right", () => {
    expect(complaint(correct)).toBe("none");
    expect(complaint(wrongNorm)).toBe("graph/invalid norm: weight is f32[4], expected [2]");
  });
});
