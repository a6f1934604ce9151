/** What the benchmarks divide by: bytes and multiplications of tokens and kernels, against figures worked out by hand. */
import { describe, expect, test } from "vitest";
import { kernelCost, type CallRows, type CostContext } from "../../compiler/bench/kernel-cost.ts";
import { dotRate, dotTiles, floatRate, floatTiles, streamRead, streamStepBytes } from "../../compiler/bench/roof-kernels.ts";
import { benchShapes } from "../../compiler/bench/shapes.ts";
import { decodeBytes, prefillMacs, tokenCost } from "../../compiler/bench/token-cost.ts";
import { required } from "../../compiler/errors.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { countKernel } from "../../compiler/kernel/count.ts";
import { verifyKernel } from "../../compiler/kernel/verify.ts";
import { draftPrograms } from "../../compiler/pipeline.ts";
import { packedBytes } from "../../compiler/plan/constants.ts";
import { simd128 } from "../../targets/wasm/atoms.ts";
import { wasmSimd } from "../../targets/wasm/target.ts";

const shape = required(
  benchShapes.find(({ model }) => model.name === "LFM2-350M"),
  "shape",
);
const { graph, constants, programs } = draftPrograms(shape.model, wasmSimd, { model: "", target: "wasm-simd", context: 1024 });
const program = required(programs[0], "program").program;

/** A q4_0 matrix: 64 bytes of header, then 9 bytes for 16 weights. */
const packed = (rows: number, columns: number): number => 64 + (rows * columns * 9) / 16;

test("a token of LFM2-350M reads every weight once, and its share of the cache", () => {
  const tensors = constants.map(({ name, sources, encoding, shape: dimensions, form }) => {
    return { name, sources: sources.map(({ tensor }) => tensor), encoding, shape: dimensions, offset: 0, bytes: packedBytes(form) };
  });
  const cost = tokenCost({ model: { experts: null }, tensors, quantization: { weights: "q4_0", activations: "q8", kv: "f16" } });
  const [h, f, v] = [1024, 4608, 65536];
  const feedForward = 16 * (packed(2 * f, h) + packed(h, f));
  const convolutions = 10 * (packed(3 * h, h) + packed(h, h) + 3 * h * 4);
  const attention = 6 * (packed(2 * h, h) + packed(h, h) + 2 * 64 * 4);
  const norms = 33 * h * 4;
  expect(cost.weightBytes).toBe(packed(v, h) + feedForward + convolutions + attention + norms);
  expect(cost.cacheBytesPerPosition).toBe(6 * 2 * 8 * 64 * 2);
  expect(cost.ringBytes).toBe(10 * 2 * h * 4);
  expect(decodeBytes(cost, 100)).toBe(cost.weightBytes + cost.ringBytes + 100 * cost.cacheBytesPerPosition);
  const layers = 16 * 3 * f * h + 10 * 4 * h * h + 6 * 3 * h * h;
  expect(prefillMacs(cost, 8)).toBe(layers + (v * h) / 8);
});

test("a head of its own is read in the embedding's place", () => {
  const tensor = (name: string, bytes: number) => ({
    name,
    sources: [`${name}.weight`],
    encoding: "q4_0",
    shape: [8, 4],
    offset: 0,
    bytes,
  });
  const tensors = [tensor("model.embed_tokens", 1000), tensor("lm_head", 20), tensor("model.layers.0.feed_forward.w2", 3)];
  const cost = tokenCost({ model: { experts: null }, tensors, quantization: { weights: "q4_0", activations: "q8", kv: "f16" } });
  expect(cost).toMatchObject({ weightBytes: 23, layerMacs: 32, headMacs: 32 });
});

test("of a mixture a token reads the experts that it goes through", () => {
  const tensor = (name: string, shape: readonly number[], bytes: number) => {
    return { name: `model.layers.0.feed_forward.${name}`, sources: [name], encoding: "q4_0", shape, offset: 0, bytes };
  };
  const tensors = [tensor("gate", [8, 4], 128), tensor("expert_bias", [8], 64), tensor("experts.down_proj", [8, 4, 6], 800)];
  const quantization = { weights: "q4_0", activations: "q8", kv: "f16" } as const;
  const cost = tokenCost({ model: { experts: { count: 8, perToken: 2 } }, tensors, quantization });
  expect(cost).toMatchObject({ weightBytes: 128 + 64 + 200, layerMacs: 8 * 4 + 2 * 4 * 6 });
});

/** Cost of the first step whose kernel's name holds `part`. */
function costOf(part: string, call: CallRows) {
  const index = program.steps.findIndex(({ kernel }) => kernel.includes(part));
  return kernelCost({ graph, program, constants }, index, call);
}

test("a product touches its matrix once, whatever its rows", () => {
  const one = costOf("n2x4608", { rows: 1, logits: 1, position: 511 });
  const many = costOf("n2x4608", { rows: 64, logits: 1, position: 511 });
  expect(one.macs).toBe(2 * 4608 * 1024);
  expect(many.macs).toBe(64 * one.macs);
  expect(one.usesAtom).toBe(true);
  // A row: 1024 bytes with a scale and a sum for each 32 go in, 4608 f32 come out; what is left is the tile's scratch memory.
  const matrix = packed(2 * 4608, 1024);
  const row = 1024 + 32 * 8 + 4608 * 4;
  expect(one.bytes - matrix - row).toBeGreaterThanOrEqual(0);
  expect(one.bytes - matrix - row).toBeLessThan(1500);
  expect(many.bytes - matrix - 64 * row).toBeLessThan(20_000);
  expect(many.bytes - matrix - 64 * row).toBeGreaterThanOrEqual(0);
});

test("the head is computed for the rows that want logits", () => {
  expect(costOf("n65536", { rows: 64, logits: 1, position: 511 }).macs).toBe(65536 * 1024);
});

test("an embedding touches rows of its table, attention the positions that it sees", () => {
  expect(costOf("embedding", { rows: 1, logits: 1, position: 511 }).bytes).toBeLessThan(10_000);
  const [near, far] = [127, 1023].map((position) => costOf("attention", { rows: 1, logits: 1, position }).bytes);
  expect(required(far, "bytes") - required(near, "bytes")).toBe((1023 - 127) * 2 * 8 * 64 * 2);
});

test("attention multiplies each query with the keys and weights the values that its row sees", () => {
  const macs = (rows: number): number => costOf("attention", { rows, logits: 1, position: 99 }).macs;
  expect(macs(1)).toBe(2 * 16 * 64 * 100);
  expect(macs(3)).toBe(2 * 16 * 64 * (98 + 99 + 100));
});

test.each([...dotTiles.map((tiles) => dotRate(simd128, tiles)), ...floatTiles.map(floatRate)])(
  "the rate kernel $kernel.name multiplies what it says",
  ({ kernel, macsPerStep }) => {
    verifyKernel(kernel);
    const [some, more] = [10, 110].map((steps) => countKernel(kernel, { steps }));
    expect(required(more, "count").multiplies - required(some, "count").multiplies).toBe(100 * macsPerStep);
    expect(required(more, "count").loadBytes).toBe(required(some, "count").loadBytes);
  },
);

test("the stream kernel reads what it says", () => {
  const kernel = streamRead(1);
  verifyKernel(kernel);
  expect(countKernel(kernel, { steps: 7 }).loadBytes).toBe(7 * streamStepBytes);
});

describe("a mixture of experts", () => {
  /** The plan of a mixture with this many experts, three of them for a token. */
  const planned = (expertCount: number): CostContext => {
    const moe = { expertCount, expertsPerToken: 3, expertSize: 96, denseLayers: 1, normalizeTopK: true, routedScale: 1, expertBias: true };
    const config = {
      ...shape.model.config,
      type: "lfm2_moe",
      vocabSize: 256,
      hiddenSize: 64,
      layers: ["conv", "attention"],
      heads: 2,
      kvHeads: 1,
      moe,
    } as const;
    const model = { ...shape.model, config, graph: buildGraph(config, "separate") };
    const draft = draftPrograms(model, wasmSimd, { model: "", target: "wasm-simd", context: 256 });
    return { graph: draft.graph, constants: draft.constants, program: required(draft.programs[0], "program").program };
  };
  const costsOf = (context: CostContext, call: CallRows) => context.program.steps.map((_, index) => kernelCost(context, index, call));
  const gateBytes = (experts: number): number => experts * 64 * 4;

  test("a decoded token reads and multiplies as much with 32 experts as with 8, but for the gate", () => {
    const call = { rows: 1, logits: 1, position: 5 };
    const [few, many] = [8, 32].map((count) => costsOf(planned(count), call));
    const total = (costs: typeof few, figure: "bytes" | "macs"): number => (costs ?? []).reduce((sum, cost) => sum + cost[figure], 0);
    expect(total(many, "macs") - total(few, "macs")).toBe(24 * 64);
    const more = total(many, "bytes") - total(few, "bytes");
    expect(more).toBeGreaterThanOrEqual(gateBytes(32) - gateBytes(16));
    // Beside the gate there are scores, counters and the header of a matrix.
    expect(more).toBeLessThan(gateBytes(32) - gateBytes(16) + 2048);
  });

  test("many rows read the weights of all experts, once", () => {
    const context = planned(8);
    const [step] = [...context.program.steps.entries()].flatMap(([index, { kernel }]) => (kernel.startsWith("gemm_8e_") ? [index] : []));
    const cost = (rows: number) => kernelCost(context, required(step, "step of the experts' gate"), { rows, logits: 1, position: 100 });
    expect(cost(64).macs).toBe(64 * 3 * 2 * 96 * 64);
    expect(cost(1).macs).toBe(3 * 2 * 96 * 64);
    const matrix = (2 * 96 * 64 * 9) / 16;
    expect(cost(1).bytes).toBeGreaterThan(3 * matrix);
    expect(cost(1).bytes).toBeLessThan(3 * matrix + 5000);
    // Each of the 192 copies: 64 bytes with a scale and a sum for each 32 go in, 96 f32 come out.
    const copies = 64 * 3 * (64 + 2 * 8 + 96 * 4);
    expect(cost(64).bytes).toBeGreaterThan(8 * matrix + copies);
    expect(cost(64).bytes).toBeLessThan(8 * matrix + copies + 5000);
  });
});
