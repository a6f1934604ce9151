import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../compiler/import/config.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { randomWeights } from "../../compiler/import/random-weights.ts";
import { checkTensors, expectedTensors, expertLayout } from "../../compiler/import/tensor-names.ts";
import { elementCount, type TensorInfo } from "../../compiler/import/weight-store.ts";
import { goldenJson, goldenRoot } from "./support.ts";

const shapes = readdirSync(join(goldenRoot, "shapes"), { withFileTypes: true }).filter((entry) => entry.isDirectory());

async function expectedOf(...path: readonly string[]): Promise<readonly TensorInfo[]> {
  return expectedTensors(parseConfig(await goldenJson(...path), "config.json").config, "separate");
}

test("all eleven published shapes are here", () => {
  expect(shapes).toHaveLength(11);
});

describe.each(shapes.map(({ name }) => name))("%s", (name) => {
  test("imports to exactly the recorded tensors", async () => {
    const record = await goldenJson("shapes", name, "tensors.json");
    const expected = await expectedOf("shapes", name, "config.json");
    const listed = Object.fromEntries(expected.map((tensor) => [tensor.name, [tensor.dtype, tensor.shape]]));
    expect(listed).toEqual(record.tensors);
    expect(expected).toHaveLength(Number(record.tensor_count));
    expect(expected.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(record.parameters);
  });

  test("its config warns of nothing and gives the recorded feed-forward width", async () => {
    const record = await goldenJson("shapes", name, "tensors.json");
    const { config, warnings } = parseConfig(await goldenJson("shapes", name, "config.json"), "config.json");
    expect(warnings).toEqual([]);
    expect(config.feedForwardSize).toBe(record.effective_dense_ffn_width);
  });

  test("its graph uses every element of every tensor once", async () => {
    const { config } = parseConfig(await goldenJson("shapes", name, "config.json"), "config.json");
    const used = new Map<string, number>();
    for (const { sources } of buildGraph(config, "separate").constants) {
      for (const { tensor, shape, count } of sources) used.set(tensor, (used.get(tensor) ?? 0) + count * (shape.at(-1) ?? 1));
    }
    const expected = expectedTensors(config, "separate").map((tensor) => [tensor.name, elementCount(tensor.shape)] as const);
    expect(used).toEqual(new Map(expected));
  });
});

describe("comparison with a store", () => {
  const without = (tensors: readonly TensorInfo[], name: string) => tensors.filter((tensor) => tensor.name !== name);

  test("complete: no warnings", async () => {
    const expected = await expectedOf("moe-tiny", "config.json");
    expect(checkTensors(expected, randomWeights(expected, 1))).toEqual([]);
  });

  test("a missing tensor", async () => {
    const expected = await expectedOf("dense-tiny", "config.json");
    const store = randomWeights(without(expected, "model.layers.2.conv.in_proj.weight"), 1);
    expect(() => checkTensors(expected, store)).toThrow(
      expect.objectContaining({ code: "weights/missing", subject: "model.layers.2.conv.in_proj.weight" }),
    );
  });

  test.each([[[64, 63]], [[64, 64, 1]], [[4096]]])("a tensor of shape %j", async (shape) => {
    const expected = await expectedOf("dense-tiny", "config.json");
    const name = "model.layers.2.conv.out_proj.weight";
    const store = randomWeights([...without(expected, name), { name, shape, dtype: "F32", keep: "f32" }], 1);
    expect(() => checkTensors(expected, store)).toThrow(expect.objectContaining({ code: "weights/shape", subject: name }));
  });

  test("a needed tensor in another type", async () => {
    const expected = await expectedOf("dense-tiny", "config.json");
    const name = "model.layers.2.conv.out_proj.weight";
    const store = randomWeights(without(expected, name), 1);
    const check = () => checkTensors(expected, store, new Map([[name, "I8"]]));
    expect(check).toThrow(expect.objectContaining({ code: "safetensors/tensor", subject: name }));
    expect(check).toThrow("I8");
  });

  test("extra tensors warn, the first few by name", async () => {
    const expected = await expectedOf("dense-tiny", "config.json");
    const extra = Array.from({ length: 10 }, (_, i): TensorInfo => ({ name: `extra.${i}`, shape: [1], dtype: "F32", keep: "f32" }));
    const warnings = checkTensors(expected, randomWeights([...expected, ...extra], 1), new Map([["ids", "I64"]]));
    expect(warnings).toHaveLength(9);
    expect(warnings[0]).toContain("extra.0");
    expect(warnings[8]).toContain("3 more");
  });

  test("stacked experts are recognised", () => {
    expect(expertLayout(new Map([["model.layers.2.feed_forward.experts.gate_up_proj", 0]]))).toBe("stacked");
    expect(expertLayout(new Map([["model.layers.2.feed_forward.experts.0.w1.weight", 0]]))).toBe("separate");
  });
});
