import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { importModel, modelName, type ImportOptions } from "../../compiler/import/model.ts";
import type { ModelFile } from "../../compiler/import/model-file.ts";
import { CheckpointReader } from "../../compiler/import/safetensors.ts";
import { goldenRoot, temporaryFolder } from "./support.ts";

const demo = fileURLToPath(new URL("../../examples/demo-model/", import.meta.url));

async function imported(path: string, options?: ImportOptions) {
  const model = await importModel(path, options);
  onTestFinished(() => model.store.close());
  return model;
}

test("the demo model: name, sampling, tokens and files", async () => {
  const model = await imported(demo);
  expect(model.name).toBe("demo-model");
  expect(model.graph.name).toBe("demo-model");
  expect(model.config).toMatchObject({ vocabSize: 4096, hiddenSize: 256, feedForwardSize: 640 });
  expect(model.sampling).toEqual({ temperature: 0.7, topK: 40, topP: 1, minP: 0, repetitionPenalty: 1 });
  expect(model.tokens).toEqual({ bos: 1, eos: [2], pad: 0 });
  expect(model.warnings).toEqual([]);
  const paths = Object.entries(model.files).map(([kind, file]) => [kind, (file as ModelFile | null)?.path ?? null]);
  expect(Object.fromEntries(paths)).toEqual({
    tokenizer: join(demo, "tokenizer.json"),
    tokenizerConfig: join(demo, "tokenizer_config.json"),
    chatTemplate: null,
    generationConfig: join(demo, "generation_config.json"),
    license: null,
  });
});

test("a config file by its path, with the weights beside it", async () => {
  const model = await imported(join(goldenRoot, "dense-tiny", "config.legacy.json"));
  expect(model.name).toBe("dense-tiny");
  expect(model.sampling.temperature).toBe(0);
  expect(await model.store.readRows("model.embedding_norm.weight", 0, 1)).toHaveLength(64);
});

test("a config alone needs a seed, and says so", async () => {
  const config = join(goldenRoot, "shapes", "LFM2-8B-A1B", "config.json");
  await expect(importModel(config)).rejects.toMatchObject({
    code: "weights/missing",
    hint: expect.stringContaining("--random-weights SEED") as string,
  });
  const model = await imported(config, { randomWeights: 1 });
  expect(model.store.tensors.size).toBe(2302);
  expect(await model.store.readRows("model.layers.23.feed_forward.experts.31.w2.weight", 2047, 1)).toHaveLength(1792);
});

test("a seed replaces weights that are there", async () => {
  const folder = join(goldenRoot, "dense-tiny");
  const [real, random] = [await imported(folder), await imported(folder, { randomWeights: 1 })];
  const read = (model: typeof real) => model.store.readRows("model.layers.0.conv.in_proj.weight", 0, 1);
  expect(await read(random)).not.toEqual(await read(real));
});

describe("refusals", () => {
  test.each([
    ["nowhere", "io/missing", "does not exist"],
    ["nowhere.gguf", "io/missing", "does not exist"],
    ["model.gguf", "gguf/header", "ends within its first word"],
    [".", "io/missing", "holds no config.json"],
    ["model.safetensors", "config/unsupported", "is not a model"],
    ["config-text.json", "config/invalid", "is not JSON"],
    ["config-twice.json", "config/invalid", '"model_type" twice'],
  ])("%s", async (path, code, fact) => {
    const folder = await temporaryFolder();
    for (const name of ["model.gguf", "model.safetensors"]) await writeFile(join(folder, name), "");
    await writeFile(join(folder, "config-text.json"), "lfm2");
    await writeFile(join(folder, "config-twice.json"), '{"model_type":"lfm2","model_type":"lfm2"}');
    const error: unknown = await importModel(join(folder, path)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect(String(error)).toContain(fact);
  });

  test("another model's weights", async () => {
    const folder = await temporaryFolder();
    await cp(join(goldenRoot, "dense-extra", "config.json"), join(folder, "config.json"));
    await cp(join(goldenRoot, "dense-tiny", "model.safetensors"), join(folder, "model.safetensors"));
    const close = vi.spyOn(CheckpointReader.prototype, "close");
    onTestFinished(() => {
      close.mockRestore();
    });
    await expect(importModel(folder)).rejects.toMatchObject({ code: "weights/shape", subject: "model.embed_tokens.weight" });
    expect(close).toHaveBeenCalledOnce();
  });

  test("a bad generation_config.json", async () => {
    const folder = await temporaryFolder();
    await cp(join(goldenRoot, "dense-tiny", "config.json"), join(folder, "config.json"));
    await writeFile(join(folder, "generation_config.json"), '{"temperature":"hot"}');
    await expect(importModel(folder, { randomWeights: 1 })).rejects.toMatchObject({ code: "config/invalid" });
  });
});

test.each([
  ["/models/LFM2-350M", "LFM2-350M"],
  ["/models/My Model (1)/", "My-Model-1-"],
  ["/models/.hidden", "hidden"],
  ["/models/模型", "model"],
  ["/", "model"],
])("the name of %s is %s", (folder, name) => {
  expect(modelName(folder)).toBe(name);
});
