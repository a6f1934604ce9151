import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Attributes, Constant, Graph } from "../../compiler/graph/types.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { parseConfig } from "../../compiler/import/config.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { readStackedRows } from "../../compiler/import/read-constant.ts";
import { openSafetensors } from "../../compiler/import/safetensors.ts";
import { checkTensors, expectedTensors, expertLayout, type ExpertLayout } from "../../compiler/import/tensor-names.ts";
import type { WeightStore } from "../../compiler/import/weight-store.ts";
import { goldenCases, goldenJson, goldenRoot, moeCases, type JsonObject } from "./support.ts";

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

/** A constant's checkpoint values as f32. */
async function rowsOf(store: WeightStore, { sources }: Constant): Promise<Float32Array> {
  return await readStackedRows(
    store,
    sources,
    0,
    sources.reduce((sum, { count }) => sum + count, 0),
  );
}

function node(graph: Graph, output: string) {
  const found = graph.nodes.find(({ outputs }) => outputs.includes(output));
  if (!found) throw new Error(`no node defines ${output}`);
  return found;
}

/** The first layer's experts, and where the checkpoint has them. */
function expertConstants({ constants }: Graph) {
  const [gateUp, down] = ["gate_up_proj", "down_proj"].map((name) => constants.find((each) => each.name.endsWith(`.experts.${name}`)));
  if (!gateUp || !down) throw new Error("no experts");
  return { base: gateUp.name.replace(/\.gate_up_proj$/, ""), gateUp, down };
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
    expect(await rowsOf(store, constant)).toHaveLength(size);
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

  const usual: Attributes = { expertCount: 8, topK: 2, normalize: true, scale: 1, bias: true };

  test.each<readonly [string, JsonObject, Attributes]>([
    ["the config as it is", {}, usual],
    ["use_expert_bias=false", { use_expert_bias: false }, { ...usual, bias: false }],
    ["norm_topk_prob=false", { norm_topk_prob: false }, { ...usual, normalize: false }],
    ["routed_scaling_factor=2.5", { routed_scaling_factor: 2.5 }, { ...usual, scale: 2.5 }],
    ["num_experts=5", { num_experts: 5 }, { ...usual, expertCount: 5 }],
    ["num_experts_per_tok=3", { num_experts_per_tok: 3 }, { ...usual, topK: 3 }],
  ])("%s reaches every router and nothing else", async (_case, changed, attributes) => {
    const { config } = parseConfig({ ...(await goldenJson("moe-tiny", "config.json")), ...changed }, "config.json");
    const graph = buildGraph(config, "separate", "test");
    const routers = graph.nodes.filter(({ op }) => op === "router");
    expect(routers.map((router) => router.attributes)).toEqual([attributes, attributes, attributes]);
    expect(graph.constants.some(({ name }) => name.endsWith(".expert_bias"))).toBe(attributes.bias);
    const others = (of: Graph) => of.nodes.filter(({ op }) => op !== "router");
    expect(others(graph)).toEqual(others(await graphOf("moe-tiny", "config.json")));
  });

  test.each([0, 1, 2, 4, 5])("layers below num_dense_layers=%i have a dense feed-forward, the others experts", async (dense) => {
    const { config } = parseConfig({ ...(await goldenJson("moe-tiny", "config.json")), num_dense_layers: dense }, "config.json");
    const graph = buildGraph(config, "separate", "test");
    expect([0, 1, 2, 3, 4].map((layer) => node(graph, `layer.${layer}.ffn_out`).op)).toEqual([
      ...Array.from({ length: dense }, () => "linear"),
      ...Array.from({ length: 5 - dense }, () => "experts"),
    ]);
    expect(graph.nodes.filter(({ op }) => op === "router")).toHaveLength(5 - dense);
  });

  test("experts are two constants of the same names and shapes in either layout of the checkpoint", async () => {
    const base = "model.layers.2.feed_forward.experts";
    const { config } = parseConfig(await goldenJson("moe-tiny", "config.json"), "config.json");
    const constants = (layout: ExpertLayout) => {
      const graph = buildGraph(config, layout, "test");
      const routed = ["layer.2.ffn_norm", "layer.2.router.experts", "layer.2.router.weights"];
      expect(node(graph, "layer.2.ffn_out").inputs).toEqual([...routed, `${base}.gate_up_proj`, `${base}.down_proj`]);
      return graph.constants.filter(({ name }) => name.startsWith(base));
    };
    const gateUp = { name: `${base}.gate_up_proj`, type: { shape: [8, 64, 64], encoding: "f32" } };
    const down = { name: `${base}.down_proj`, type: { shape: [8, 64, 32], encoding: "f32" } };
    const experts = [0, 1, 2, 3, 4, 5, 6, 7];
    const matrix = (expert: number, name: string, rows: number, columns: number) => {
      return { tensor: `${base}.${expert}.${name}.weight`, shape: [rows, columns], start: 0, count: rows };
    };
    expect(constants("separate")).toEqual([
      { ...gateUp, sources: experts.flatMap((expert) => [matrix(expert, "w1", 32, 64), matrix(expert, "w3", 32, 64)]) },
      { ...down, sources: experts.map((expert) => matrix(expert, "w2", 64, 32)) },
    ]);
    expect(constants("stacked")).toEqual(
      [gateUp, down].map((each) => ({ ...each, sources: [{ tensor: each.name, shape: each.type.shape, start: 0, count: 512 }] })),
    );
  });

  test("a tied head is the embedding, an untied one is its own tensor", async () => {
    expect(node(await graphOf("dense-tiny", "config.json"), "logits").inputs).toEqual(["final_norm", "model.embed_tokens"]);
    expect(node(await graphOf("dense-extra", "config.json"), "logits").inputs).toEqual(["final_norm", "lm_head"]);
  });
});

test("stacked experts give the same constants, row by row, as separate ones", async () => {
  const separate = await imported("moe-tiny", "model.safetensors");
  const stacked = await imported("moe-tiny", "model.fused.safetensors");
  expect([separate.layout, stacked.layout]).toEqual(["separate", "stacked"]);
  expect(stacked.warnings).toEqual([]);
  expect(stacked.graph.nodes).toEqual(separate.graph.nodes);
  const types = (graph: Graph) => graph.constants.map(({ name, type }) => ({ name, type }));
  expect(types(stacked.graph)).toEqual(types(separate.graph));
  const values = ({ graph, store }: typeof stacked) => Promise.all(graph.constants.map((constant) => rowsOf(store, constant)));
  expect(await values(stacked)).toEqual(await values(separate));
});

test.each(moeCases)("%s: an expert's rows come from its own three matrices", async (name) => {
  const { graph, store } = await imported(name, "model.safetensors");
  const { base, gateUp, down } = expertConstants(graph);
  const [experts = 0, hidden = 0, size = 0] = down.type.shape.map(Number);
  expect(gateUp.type.shape).toEqual([experts, 2 * size, hidden]);
  const [gateUps, downs] = [await rowsOf(store, gateUp), await rowsOf(store, down)];
  const matrix = hidden * size;
  for (let expert = 0; expert < experts; expert++) {
    const stored = (name: string, rows: number) => store.readRows(`${base}.${expert}.${name}.weight`, 0, rows);
    const start = 2 * expert * matrix;
    expect(gateUps.slice(start, start + matrix), `w1 of ${expert}`).toEqual(await stored("w1", size));
    expect(gateUps.slice(start + matrix, start + 2 * matrix), `w3 of ${expert}`).toEqual(await stored("w3", size));
    expect(downs.slice(expert * matrix, (expert + 1) * matrix), `w2 of ${expert}`).toEqual(await stored("w2", hidden));
  }
});

test.each(["model.safetensors", "model.fused.safetensors"])(
  "any range of the experts' rows in %s equals that part of the whole",
  async (file) => {
    const { graph, store } = await imported("moe-tiny", file);
    const { gateUp } = expertConstants(graph);
    const whole = await rowsOf(store, gateUp);
    const [rows, length] = [8 * 64, 64];
    await fc.assert(
      fc.asyncProperty(fc.nat(rows - 1), fc.nat(), async (start, b) => {
        const count = 1 + (b % (rows - start));
        expect(await readStackedRows(store, gateUp.sources, start, count)).toEqual(whole.slice(start * length, (start + count) * length));
      }),
    );
  },
);
