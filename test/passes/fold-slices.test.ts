/** Slices that fold: each rule's pattern and guards, and that whatever was cut up so comes back as it was, with the same bits. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Constant, Graph, Node } from "../../compiler/graph/types.ts";
import { foldSlices } from "../../compiler/passes/fold-slices.ts";
import { runPasses } from "../../compiler/passes/index.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { after, linear, text, vector, weight } from "./graph-text.ts";
import { allBits, randomModels } from "./random-model.ts";

const slice = (output: string, size: number, x: string, offset: number): string =>
  `${output}: f32[rows, ${size}] = slice(${x}) offset=${offset} size=${size}`;

describe("fold-slices", () => {
  test.each([
    ["a slice of all of x is x", [slice("a", 4, "x", 0), "y: f32[rows, 4] = add(a, x)"], ["y: f32[rows, 4] = add(x, x)"]],
    [
      "all readers of it read x",
      [slice("a", 4, "x", 0), "b: f32[rows, 4] = add(a, a)", "y: f32[rows, 4] = add(b, a)"],
      ["b: f32[rows, 4] = add(x, x)", "y: f32[rows, 4] = add(b, x)"],
    ],
    [
      "a slice of a slice is one",
      [slice("a", 3, "x", 1), slice("b", 2, "a", 1), "c: f32[rows, 2] = add(b, b)", "y: f32[rows, 4] = add(x, x)"],
      [slice("b", 2, "x", 2), "c: f32[rows, 2] = add(b, b)", "y: f32[rows, 4] = add(x, x)"],
    ],
    [
      "the first slice stays where something else reads it",
      [slice("a", 3, "x", 1), slice("b", 2, "a", 0), slice("c", 2, "a", 1), "d: f32[rows, 3] = add(a, a)", "y: f32[rows, 4] = add(x, x)"],
      [slice("a", 3, "x", 1), slice("b", 2, "x", 1), slice("c", 2, "x", 2), "d: f32[rows, 3] = add(a, a)", "y: f32[rows, 4] = add(x, x)"],
    ],
    [
      "a slice of a product is the product by those rows",
      [weight("w", 9, 4, "q8_0"), linear("z", 9, "x", "w"), slice("y", 4, "z", 3)],
      ['const w: q8_0[4, 4] = "w.weight"[9, 4] rows 3..6', linear("y", 4, "x", "w")],
    ],
    [
      "rows of a weight that is stacked",
      ['const w: f32[7, 4] = "a"[5, 4] rows 2..4, "b"[1, 4], "c"[3, 4]', linear("z", 7, "x", "w"), slice("y", 4, "z", 1)],
      ['const w: f32[4, 4] = "a"[5, 4] rows 3..4, "b"[1, 4], "c"[3, 4] rows 0..0', linear("y", 4, "x", "w")],
    ],
  ])("%s", (_case, before, expected) => {
    expect(after(foldSlices, text(...before))).toBe(text(...expected));
  });

  test.each([
    [
      "a product that something else reads too",
      [weight("w", 8, 4), linear("z", 8, "x", "w"), slice("y", 4, "z", 0), slice("b", 4, "z", 4)],
    ],
    [
      "a weight that something else reads too",
      [weight("w", 8, 4), linear("z", 8, "x", "w"), slice("y", 4, "z", 0), linear("b", 8, "y", "w"), "c: f32[rows, 8] = add(b, b)"],
    ],
    ["a product with a bias", [weight("w", 8, 4), vector("b", 8), linear("z", 8, "x", "w", "b"), slice("y", 4, "z", 0)]],
    [
      "a product with a residual",
      [
        weight("w", 8, 4),
        weight("v", 8, 4),
        linear("r", 8, "x", "v"),
        "z: f32[rows, 8] = linear(x, w, r) bias=false residual=true",
        slice("y", 4, "z", 0),
      ],
    ],
    ["a part of what is no product", ["a: f32[rows, 4] = add(x, x)", slice("b", 2, "a", 0), "y: f32[rows, 4] = add(a, a)"]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(foldSlices, text(...lines))).toBe(text(...lines));
  });

  test("leaves alone: the slice that gives the graph's output", () => {
    const source = [
      'graph "test"',
      'const table: f32[5, 4] = "table"[5, 4]',
      "x: f32[rows, 4] = embedding(table)",
      "s: f32[logits, 4] = select-rows(x)",
      "logits: f32[logits, 4] = slice(s) offset=0 size=4",
      "output logits",
    ];
    const graph = parseGraph(source.join("\n"));
    expect(foldSlices.run(graph)).toEqual(graph);
  });

  test("models whose products were widened and whose values were copied come back as they were, and have the same bits", async () => {
    await fc.assert(
      fc.asyncProperty(randomModels, async (model) => {
        const cut = copied(widened(model.graph));
        expect(cut.nodes.filter(({ op }) => op === "slice").length).toBeGreaterThan(4);
        expect(runPasses(cut, [foldSlices])).toEqual(model.graph);
        const [before, now] = [await allBits(cut, model), await allBits(model.graph, model)];
        for (const [name, bits] of now) expect(bits, name).toEqual(before.get(name));
      }),
      { numRuns: 25 },
    );
  });
});

/** x W^T -> a slice of a slice of x [W; W; W]^T, for linears that have their weight to themselves. */
function widened(graph: Graph): Graph {
  const reads = graph.nodes.flatMap(({ inputs }) => inputs);
  const wide = new Map<string, Constant>();
  const nodes = graph.nodes.flatMap((node): readonly Node[] => {
    const [matrix = ""] = node.inputs.slice(1);
    const constant = graph.constants.find(({ name }) => name === matrix);
    const [rows, width] = constant?.type.shape ?? [];
    const [y] = node.outputs;
    if (node.op !== "linear" || node.attributes.bias === true || !constant || typeof rows !== "number" || width === undefined)
      return [node];
    if (y === undefined || reads.filter((name) => name === matrix).length > 1) return [node];
    const sources = [constant, constant, constant].flatMap((each) => each.sources);
    wide.set(matrix, { ...constant, type: { ...constant.type, shape: [3 * rows, width] }, sources });
    return [
      { ...node, outputs: [`${y}.wide`] },
      { op: "slice", inputs: [`${y}.wide`], outputs: [`${y}.part`], attributes: { offset: rows, size: 2 * rows } },
      { op: "slice", inputs: [`${y}.part`], outputs: [y], attributes: { offset: 0, size: rows } },
    ];
  });
  return { ...graph, constants: graph.constants.map((constant) => wide.get(constant.name) ?? constant), nodes };
}

/** Every reader of a residual stream's value reads a slice of all of it instead. */
function copied(graph: Graph): Graph {
  const sums = new Map(
    graph.nodes.filter(({ op }) => op === "add").flatMap(({ outputs }) => outputs.map((name) => [name, `${name}.copy`])),
  );
  const width = graph.constants[0]?.type.shape[1];
  if (typeof width !== "number") throw new Error("no width");
  const nodes = graph.nodes.flatMap((node): readonly Node[] => {
    const copies = node.outputs.flatMap((name) => {
      const copy = sums.get(name);
      return copy === undefined ? [] : [{ op: "slice", inputs: [name], outputs: [copy], attributes: { offset: 0, size: width } }];
    });
    return [{ ...node, inputs: node.inputs.map((name) => sums.get(name) ?? name) }, ...copies];
  });
  return { ...graph, nodes };
}
