/** What the benchmarks divide by: bytes and multiplications of tokens and kernels, against figures worked out by hand. */
import { expect, test } from "vitest";
import { kernelCost, type CallRows } from "../../compiler/bench/kernel-cost.ts";
import { dotRate, dotTiles, floatRate, floatTiles, streamRead, streamStepBytes } from "../../compiler/bench/roof-kernels.ts";
import { benchShapes } from "../../compiler/bench/shapes.ts";
import { decodeBytes, prefillMacs, tokenCost } from "../../compiler/bench/token-cost.ts";
import { required } from "../../compiler/errors.ts";
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
  const cost = tokenCost({ tensors, quantization: { weights: "q4_0", activations: "q8", kv: "f16" } });
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
  const cost = tokenCost({ tensors, quantization: { weights: "q4_0", activations: "q8", kv: "f16" } });
  expect(cost).toMatchObject({ weightBytes: 23, layerMacs: 32, headMacs: 32 });
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
  const kernel = streamRead();
  verifyKernel(kernel);
  expect(countKernel(kernel, { steps: 7 }).loadBytes).toBe(7 * streamStepBytes);
});
