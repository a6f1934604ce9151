import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { randomWeights } from "../../compiler/import/random-weights.ts";
import type { TensorInfo } from "../../compiler/import/weight-store.ts";

const linear: TensorInfo = { name: "model.layers.0.feed_forward.w1.weight", shape: [96, 128], dtype: "BF16", keep: "bf16" };
const twin: TensorInfo = { ...linear, name: "model.layers.1.feed_forward.w1.weight" };
const stacked: TensorInfo = { name: "model.layers.2.feed_forward.experts.gate_up_proj", shape: [3, 8, 16], dtype: "BF16", keep: "bf16" };
const norm: TensorInfo = { name: "model.layers.0.self_attn.q_layernorm.weight", shape: [4096], dtype: "BF16", keep: "bf16" };
const bias: TensorInfo = { name: "model.layers.2.feed_forward.expert_bias", shape: [64], dtype: "F32", keep: "f32" };
const tensors = [linear, twin, stacked, norm, bias];

function moments(values: Float32Array): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return { mean, deviation: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) };
}

describe("random weights", () => {
  test("any range of rows equals that part of the whole", async () => {
    const store = randomWeights(tensors, 7);
    const whole = { linear: await store.readRows(linear.name, 0, 96), stacked: await store.readRows(stacked.name, 0, 24) };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("linear", "stacked"), fc.nat(95), fc.nat(95), async (which, a, b) => {
        const [tensor, rows, length] = which === "linear" ? ([linear, 96, 128] as const) : ([stacked, 24, 16] as const);
        const start = a % rows;
        const count = b % (rows - start + 1);
        const part = await randomWeights(tensors, 7).readRows(tensor.name, start, count);
        expect(part).toEqual(whole[which].slice(start * length, (start + count) * length));
      }),
    );
  });

  test("the same seed gives the same values, another seed or name others", async () => {
    const read = (seed: number, name: string) => randomWeights(tensors, seed).readRows(name, 0, 2);
    const values = await read(1, linear.name);
    expect(await read(1, linear.name)).toEqual(values);
    expect(await read(2, linear.name)).not.toEqual(values);
    expect(await read(1, twin.name)).not.toEqual(values);
  });

  test("the values themselves are part of the contract", async () => {
    const values = await randomWeights(tensors, 1).readRows(linear.name, 5, 1);
    expect([...values.slice(0, 4)]).toMatchInlineSnapshot(`
      [
        -0.03455261141061783,
        -0.08537226915359497,
        0.08722890913486481,
        0.03129854053258896,
      ]
    `);
  });

  test("linears have variance 1/K, norms are near 1, biases are small", async () => {
    const store = randomWeights(tensors, 3);
    const weights = moments(await store.readRows(linear.name, 0, 96));
    expect(weights.mean * Math.sqrt(128)).toBeCloseTo(0, 1);
    expect(weights.deviation * Math.sqrt(128)).toBeCloseTo(1, 1);
    const norms = moments(await store.readRows(norm.name, 0, 1));
    expect(norms.mean).toBeCloseTo(1, 2);
    expect(norms.deviation).toBeCloseTo(0.1, 2);
    expect(moments(await store.readRows(bias.name, 0, 1)).deviation).toBeLessThan(0.03);
  });

  test("neighbouring values, rows and tensors are uncorrelated", async () => {
    const store = randomWeights(tensors, 3);
    const [a, b] = [await store.readRows(linear.name, 0, 96), await store.readRows(twin.name, 0, 96)];
    const correlation = (shift: number, other: Float32Array) =>
      (a.subarray(shift).reduce((sum, x, i) => sum + x * (other[i] ?? 0), 0) / (a.length - shift)) * 128;
    for (const shift of [1, 2, 127, 128, 256]) expect(Math.abs(correlation(shift, a))).toBeLessThan(0.05);
    expect(Math.abs(correlation(0, b))).toBeLessThan(0.05);
  });

  test("rows that do not exist and tensors that do not exist are refused", async () => {
    const store = randomWeights(tensors, 1);
    await expect(store.readRows("nothing", 0, 1)).rejects.toMatchObject({ code: "weights/missing" });
    await expect(store.readRows(linear.name, 90, 7)).rejects.toThrow("rows 90+7");
  });
});
