import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Graph } from "../../compiler/graph/types.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { parseConfig } from "../../compiler/import/config.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { readConstant, readStackedRows } from "../../compiler/import/read-constant.ts";
import { openSafetensors } from "../../compiler/import/safetensors.ts";
import { checkTensors, expectedTensors, expertLayout } from "../../compiler/import/tensor-names.ts";
import { goldenCases, goldenJson, goldenRoot, moeCases } from "./support.ts";

async function graphOf(...path: readonly string[]): Promise<Graph> {
  return buildGraph(parseConfig(await goldenJson(...path), "config.json").config, "separate", "test");
}

async function imported(folder: string, file: string) {
  const { config } = parseConfig(await goldenJson(folder, "config.json"), "config.json");
  const store = await openSafetensors(join(goldenRoot, folder, file));
  onTestFinished(() => store.close());
  const layout = expertLayout(store.tensors);
  const warnings = checkTensors(expectedTensors(config, layout), store, store.unreadable);
  return { store, layout, warnings, graph: buildGraph(config, layout, "test") };
}

function node(graph: Graph, output: string) {
  const found = graph.nodes.find(({ outputs }) => outputs.includes(output));
  if (!found) throw new Error(`no node defines ${output}`);
  return found;
}

test.each(goldenCases)("%s: both spellings of the config give one verified graph", async (name) => {
  const graph = await graphOf(name, "config.json");
  expect(() => {
    verifyGraph(graph);
  }).not.toThrow();
  expect(await graphOf(name, "config.legacy.json")).toEqual(graph);
});

test.each(goldenCases)("%s: the checkpoint holds what the graph wants, and nothing else", async (name) => {
  const { warnings, graph, store } = await imported(name, "model.safetensors");
  expect(warnings).toEqual([]);
  for (const constant of graph.constants) {
    const size = constant.type.shape.reduce((product: number, axis) => product * Number(axis), 1);
    expect(await readConstant(store, constant)).toHaveLength(size);
  }
});

test.each(goldenCases)("%s: every golden tensor's name is a value of the graph", async (name) => {
  const { graph } = await imported(name, "model.safetensors");
  const golden = await openSafetensors(join(goldenRoot, name, "golden.safetensors"));
  onTestFinished(() => golden.close());
  const values = graph.nodes.flatMap(({ outputs }) => outputs);
  const traced = [...golden.tensors.keys()].filter((tensor) => /^(embed|final_norm|logits|layer\.\d+\.(out|op_out|ffn_out))$/.test(tensor));
  expect(traced.length).toBeGreaterThan(2);
  expect(values).toEqual(expect.arrayContaining(traced));
});

describe("operators", () => {
  test("a conv layer with biases", async () => {
    const graph = await graphOf("dense-odd", "config.json");
    const base = "model.layers.0.conv";
    expect(node(graph, "layer.0.conv_in")).toEqual({
      op: "linear",
      inputs: ["layer.0.operator_norm", `${base}.in_proj`, `${base}.in_proj.bias`],
      outputs: ["layer.0.conv_in"],
      attributes: { bias: true, residual: false },
    });
    expect(node(graph, "layer.0.conv")).toEqual({
      op: "short-conv",
      inputs: ["layer.0.conv_in", `${base}.conv`, `${base}.conv.bias`],
      outputs: ["layer.0.conv"],
      attributes: { width: 4, state: 0, bias: true },
    });
    const taps = graph.constants.find(({ name }) => name === `${base}.conv`);
    expect(taps?.type.shape).toEqual([72, 4]);
    expect(taps?.sources).toEqual([{ tensor: `${base}.conv.weight`, shape: [72, 1, 4], start: 0, count: 72 }]);
  });

  test("an attention layer whose heads are wider than the model", async () => {
    const graph = await graphOf("dense-extra", "config.json");
    expect(node(graph, "layer.3.attention")).toEqual({
      op: "attention",
      inputs: ["layer.3.q_rope", "layer.3.k_rope", "layer.3.v"],
      outputs: ["layer.3.attention"],
      attributes: { heads: 4, kvHeads: 1, headSize: 20, scale: 20 ** -0.5, window: null, state: 3, kv: "f32" },
    });
    expect(node(graph, "layer.3.q_rope").attributes).toEqual({ headSize: 20, base: 1e4 });
    expect(node(graph, "layer.3.k_norm").attributes).toEqual({ epsilon: 1e-5, width: 20, quantize: false });
    expect(graph.constants.find(({ name }) => name === "model.layers.3.self_attn.out_proj")?.type.shape).toEqual([48, 80]);
  });

  test("a router says how this release chooses", async () => {
    const biased = node(await graphOf("moe-bias", "config.json"), "layer.1.router.weights");
    expect(biased.attributes).toEqual({ expertCount: 32, topK: 4, normalize: true, scale: 2.5, bias: true });
    expect(biased.inputs).toEqual(["layer.1.ffn_norm", "model.layers.1.feed_forward.gate", "model.layers.1.feed_forward.expert_bias"]);
    const plain = node(await graphOf("moe-plain", "config.json"), "layer.2.router.weights");
    expect(plain.attributes).toMatchObject({ normalize: false, scale: 0.5, bias: false });
    expect(plain.inputs).toHaveLength(2);
  });

  test("layers below num_dense_layers have a dense feed-forward", async () => {
    const graph = await graphOf("moe-tiny", "config.json");
    expect([0, 1, 2, 3, 4].map((layer) => node(graph, `layer.${layer}.ffn_out`).op)).toEqual([
      "linear",
      "linear",
      "experts",
      "experts",
      "experts",
    ]);
  });

  test("a tied head is the embedding, an untied one is its own tensor", async () => {
    expect(node(await graphOf("dense-tiny", "config.json"), "logits").inputs).toEqual(["final_norm", "model.embed_tokens"]);
    expect(node(await graphOf("dense-extra", "config.json"), "logits").inputs).toEqual(["final_norm", "lm_head"]);
  });
});

test("stacked experts give the same constants as separate ones", async () => {
  const separate = await imported("moe-tiny", "model.safetensors");
  const stacked = await imported("moe-tiny", "model.fused.safetensors");
  expect([separate.layout, stacked.layout]).toEqual(["separate", "stacked"]);
  expect(stacked.warnings).toEqual([]);
  expect(stacked.graph.nodes).toEqual(separate.graph.nodes);
  const types = (graph: Graph) => graph.constants.map(({ name, type }) => ({ name, type }));
  expect(types(stacked.graph)).toEqual(types(separate.graph));
  for (const [index, constant] of stacked.graph.constants.entries()) {
    const twin = separate.graph.constants[index];
    if (twin) expect(await readConstant(stacked.store, constant)).toEqual(await readConstant(separate.store, twin));
  }
});

test.each(moeCases)("%s: an expert's rows come from its own three matrices", async (name) => {
  const { graph, store } = await imported(name, "model.safetensors");
  const up = graph.constants.find((constant) => constant.name.endsWith(".experts.w3"));
  const [, rows = 0, columns = 0] = (up?.type.shape ?? []).map(Number);
  if (!up) throw new Error("no experts");
  const whole = await readConstant(store, up);
  const third = await store.readRows(up.name.replace(/w3$/, "2.w3.weight"), 0, rows);
  expect(whole.slice(2 * rows * columns, 3 * rows * columns)).toEqual(third);
});

test("any range of stacked rows equals that part of the whole", async () => {
  const { graph, store } = await imported("moe-tiny", "model.fused.safetensors");
  const gate = graph.constants.find(({ name }) => name.endsWith(".experts.w1"));
  if (!gate) throw new Error("no experts");
  const whole = await readConstant(store, gate);
  const [rows, length] = [8 * 32, 64];
  await fc.assert(
    fc.asyncProperty(fc.nat(rows - 1), fc.nat(), async (start, b) => {
      const count = 1 + (b % (rows - start));
      expect(await readStackedRows(store, gate.sources, start, count)).toEqual(whole.slice(start * length, (start + count) * length));
    }),
  );
});
