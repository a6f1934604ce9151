/** The column of passes as a whole. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { InternalError } from "../../compiler/errors.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import { runPasses, standardPasses, type Pass, type PassOptions } from "../../compiler/passes/index.ts";
import { linear, text, weight } from "./graph-text.ts";
import { randomModels } from "./random-model.ts";

const q4: PassOptions = { weights: () => "q4_0", activations: "q8", kv: "f16" };
const options = fc.record<PassOptions>({
  weights: fc.constantFrom(
    () => "f32",
    () => "f16",
    () => "bf16",
    () => "q4_0",
    () => "q8_0",
  ),
  activations: fc.constantFrom("q8", "f32"),
  kv: fc.constantFrom("f16", "f32", "q8_0"),
});

test("a pass that breaks the graph is named, as a fault of lfmc", () => {
  const breaking: Pass = { name: "break-output", run: (graph) => ({ ...graph, output: "nothing" }) };
  const run = () => runPasses(parseGraph(text("y: f32[rows, 4] = add(x, x)")), [breaking]);
  expect(run).toThrow(InternalError);
  expect(run).toThrow("after pass break-output: nothing");
});

test("the standard passes fuse all there is and set what was asked for", () => {
  fc.assert(
    fc.property(randomModels, options, ({ graph }, chosen) => {
      const { nodes } = runPasses(graph, standardPasses(chosen));
      expect(nodes.filter(({ op }) => op === "swiglu" || op === "short-conv" || op === "add")).toEqual([]);
      const attentions = nodes.filter(({ op }) => op === "attention");
      expect(nodes.filter(({ op }) => op === "slice").length).toBe(3 * attentions.length);
      expect(attentions.every(({ attributes }) => attributes.kv === chosen.kv)).toBe(true);
    }),
  );
});

test("what nothing reads, and slices of all of a value, keep no fusion from happening", () => {
  const source = text(
    ...["w1", "w3", "w2"].map((name) => weight(name, 4, 4)),
    linear("g", 4, "x", "w1"),
    linear("u", 4, "x", "w3"),
    "idle: f32[rows, 4] = add(g, u)",
    "up: f32[rows, 4] = slice(u) offset=0 size=4",
    "s: f32[rows, 4] = swiglu(g, up)",
    linear("f", 4, "s", "w2"),
    "y: f32[rows, 4] = add(x, f)",
  );
  const { nodes } = runPasses(parseGraph(source), standardPasses(q4));
  expect(nodes.map(({ op }) => op)).toEqual(["embedding", "quantize", "gated-linear", "quantize", "linear", "select-rows"]);
});

test("no value is computed or quantised twice", () => {
  fc.assert(
    fc.property(randomModels, options, ({ graph }, chosen) => {
      const stateless = runPasses(graph, standardPasses(chosen)).nodes.filter(({ attributes }) => attributes.state === undefined);
      const meanings = stateless.map(({ op, inputs, attributes }) => JSON.stringify([op, inputs, attributes]));
      expect(new Set(meanings).size).toBe(meanings.length);
    }),
  );
});

test("running the standard passes twice is running them once", () => {
  fc.assert(
    fc.property(randomModels, options, ({ graph }, chosen) => {
      const once = runPasses(graph, standardPasses(chosen));
      expect(runPasses(once, standardPasses(chosen))).toEqual(once);
    }),
  );
});

test("the result prints and reads back", () => {
  fc.assert(
    fc.property(randomModels, options, ({ graph }, chosen) => {
      const result = runPasses(graph, standardPasses(chosen));
      expect(parseGraph(printGraph(result))).toEqual(result);
    }),
  );
});

test("q8 activations leave no f32 norm behind but those of heads and of routers", () => {
  fc.assert(
    fc.property(randomModels, ({ graph }) => {
      const { nodes } = runPasses(graph, standardPasses(q4));
      const whole = nodes.filter(({ op, attributes }) => op === "rms-norm" && attributes.quantize === false);
      const readers = (value: string | undefined) =>
        nodes.filter(({ inputs }) => value !== undefined && inputs.includes(value)).map(({ op }) => op);
      for (const norm of whole)
        expect(
          readers(norm.outputs[0]).some((op) => op === "rope" || op === "router"),
          norm.outputs[0],
        ).toBe(true);
    }),
  );
});

test("f32 activations quantise nothing", () => {
  fc.assert(
    fc.property(randomModels, ({ graph }) => {
      const { nodes } = runPasses(graph, standardPasses({ ...q4, activations: "f32" }));
      expect(nodes.filter(({ op, attributes }) => op === "quantize" || attributes.quantize === true)).toEqual([]);
    }),
  );
});

test("the values that golden tensors are compared with keep their names", () => {
  fc.assert(
    fc.property(randomModels, options, ({ graph }, chosen) => {
      const kept = /^(embed|logits|selected|layer\.\d+\.(op_sum|out|q|k|v|q_norm|k_norm|q_rope|k_rope|attention|conv|swiglu|router\..*))$/;
      const names = (nodes: typeof graph.nodes) => nodes.flatMap(({ outputs }) => outputs);
      expect(names(runPasses(graph, standardPasses(chosen)).nodes)).toEqual(
        expect.arrayContaining(names(graph.nodes).filter((name) => kept.test(name))),
      );
    }),
  );
});
