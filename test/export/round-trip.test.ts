/** A model exported and imported again is the same model: config, tokenizer, numbers and bits of logits. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { exportGguf } from "../../compiler/commands/export.ts";
import { planExport } from "../../compiler/export/export-model.ts";
import { parseConfig, type ModelConfig } from "../../compiler/import/config.ts";
import { greedy } from "../../compiler/import/generation-config.ts";
import { readJson } from "../../compiler/import/json-file.ts";
import { buildGraph } from "../../compiler/import/lfm2.ts";
import { importModel, type ImportedModel, type ModelFiles } from "../../compiler/import/model.ts";
import { readModelJson } from "../../compiler/import/model-file.ts";
import { randomWeights } from "../../compiler/import/random-weights.ts";
import { expectedTensors, type ExpertLayout } from "../../compiler/import/tensor-names.ts";
import { rowShape, type WeightStore } from "../../compiler/import/weight-store.ts";
import { f16ToF32, f32ToF16 } from "../../compiler/numeric/half.ts";
import { groupFormatNamed, groupFormats } from "../../compiler/numeric/weight-groups.ts";
import { preparedGraph } from "../../compiler/pipeline.ts";
import { refineModel } from "../../compiler/refine.ts";
import { createTokenizer, type Tokenizer } from "../../runtime/tokenizer.ts";
import { caseFolder, readGolden } from "../golden/read.ts";
import { contractInterpreter, demoFolder, firstDifference, interpretAll, workFolder } from "../model/support.ts";
import { tensorsOf } from "./support.ts";

const folder = await workFolder();

/** Runs `use` on both models, awaits it, and closes them. */
async function both(first: string, second: string, use: (first: ImportedModel, second: ImportedModel) => unknown): Promise<void> {
  const [a, b] = await Promise.all([importModel(first), importModel(second)]);
  try {
    await use(a, b);
  } finally {
    await Promise.all([a.store.close(), b.store.close()]);
  }
}

async function tokenizerOf({ tokenizer, tokenizerConfig }: ModelFiles, bos: number | null): Promise<Tokenizer> {
  if (!tokenizer || !tokenizerConfig) throw new Error("the model has no tokenizer");
  return createTokenizer(await readModelJson(tokenizer), await readModelJson(tokenizerConfig), bos);
}

describe("the demo model", async () => {
  const output = join(folder, "demo.gguf");
  const result = await exportGguf({ model: demoFolder, output, quant: "q4_0", tensorTypes: ["model.embed_tokens.*=q8_0"] });

  test("says what it wrote", () => {
    const tensors = { Q8_0: 1, F32: 28, Q4_0: 46 };
    expect(result).toMatchObject({ output, name: "demo-model", tensors, notes: [], warnings: [] });
  });

  test("has the same config, special tokens and sampling", async () => {
    await both(demoFolder, output, (model, exported) => {
      expect(exported.config).toEqual({ ...model.config, dtype: null, tokens: exported.config.tokens });
      expect(exported.tokens).toEqual(model.tokens);
      expect({ ...exported.sampling, temperature: Math.fround(exported.sampling.temperature) }).toEqual({
        ...model.sampling,
        temperature: Math.fround(model.sampling.temperature),
      });
      expect(exported.warnings).toEqual([]);
    });
  });

  test("has the same token ids on pieces of all novels", async () => {
    await both(demoFolder, output, async (model, exported) => {
      const [ours, theirs] = [await tokenizerOf(model.files, 1), await tokenizerOf(exported.files, 1)];
      for (const novel of await readdir(join(demoFolder, "text"))) {
        const text = (await readFile(join(demoFolder, "text", novel), "utf8")).slice(20_000, 50_000);
        const ids = ours.encode(text);
        expect(ids.length, novel).toBeGreaterThan(5000);
        expect(theirs.encode(text), novel).toEqual(ids);
        expect(theirs.decode(ids), novel).toBe(text);
      }
      expect(theirs.encode("<|im_start|>user<|im_end|>")).toEqual(ours.encode("<|im_start|>user<|im_end|>"));
    });
  });

  test("has the same groups", async () => {
    await both(demoFolder, output, async (model, exported) => {
      for (const { name, shape, keep } of exported.store.tensors.values()) {
        const format = groupFormatNamed(keep);
        if (!format) continue;
        expect(keep, name).toBe(name.includes("embed_tokens") ? "q8_0" : "q4_0");
        const { rows } = rowShape(shape);
        const [expected, found] = [
          await model.store.readGroups(name, format, 0, rows),
          await exported.store.readGroups(name, format, 0, rows),
        ];
        expect(firstOther(found.u, expected.u), name).toBe(-1);
        expect(
          firstOther(
            found.scales,
            expected.scales.map((scale) => f16ToF32(f32ToF16(scale))),
          ),
          name,
        ).toBe(-1);
      }
    });
  });

  test("gives the same bits of logits", async () => {
    const ids = [1, 44, 52, 320, 41, 96];
    const options = { tensorTypes: ["model.embed_tokens.*=q8_0"] };
    const expected = interpretAll(await contractInterpreter(demoFolder, options), ids);
    expect(firstDifference(interpretAll(await contractInterpreter(output, {}), ids), expected)).toBeNull();
  });
});

function firstOther(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Math.min(found.length, expected.length);
  return Array.from(found).findIndex((value, i) => value !== expected[i]);
}

test.each([
  ["dense-tiny", "q8_0"],
  ["dense-tiny", "bf16"],
  ["dense-tiny", "q4_1"],
  ["dense-tiny", "q3_0"],
  ["moe-tiny", "q4_0"],
  ["moe-tiny", "f32"],
] as const)("%s as %s gives the same bits of logits", async (name, quant) => {
  const output = join(folder, `${name}.${quant}.gguf`);
  await exportGguf({ model: caseFolder(name), output, quant });
  const ids = readGolden(name).ids.slice(0, 24);
  const expected = interpretAll(await contractInterpreter(caseFolder(name), { quant }), ids);
  const found = interpretAll(
    await contractInterpreter(output, { quant: quant === "q3_0" ? "q4_0" : "keep", kv: quant === "f32" ? "f32" : "f16" }),
    ids,
  );
  expect(firstDifference(found, expected)).toBeNull();
});

test.each(["dense-tiny", "moe-tiny"] as const)("what a GGUF of %s holds is kept, byte for byte", async (name) => {
  for (const type of ["F32", "Q8_0", "Q4_0"]) {
    const [model, output] = [join(caseFolder(name), `model.${type}.gguf`), join(folder, `${name}.${type}.kept.gguf`)];
    await exportGguf({ model, output, ...(type === "F32" ? { quant: "keep" } : {}) });
    const [expected, found] = [await tensorsOf(model), await tensorsOf(output)];
    expect([...found.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
    for (const [tensor, content] of expected) expect(found.get(tensor), tensor).toEqual(content);
  }
});

test("groups that were calibrated are written as they were rounded", async () => {
  const [output, calibrate] = [join(folder, "calibrated.gguf"), join(folder, "tokens.json")];
  await writeFile(calibrate, JSON.stringify(readGolden("dense-tiny").ids));
  await exportGguf({ model: caseFolder("dense-tiny"), output, calibrate });
  await both(caseFolder("dense-tiny"), output, async (model, exported) => {
    const { store } = await refineModel(model, { calibrate });
    const tensor = "model.layers.0.feed_forward.w1.weight";
    const read = async (from: WeightStore): Promise<Uint8Array> => (await from.readGroups(tensor, groupFormats.q4_0, 0, 64)).u;
    const expected = await read(store);
    expect(firstOther(await read(exported.store), expected)).toBe(-1);
    expect(firstOther(await read(model.store), expected)).not.toBe(-1);
  });
});

test("experts that the checkpoint has stacked lie as those that it has apart", async () => {
  const path = join(caseFolder("moe-tiny"), "config.json");
  const { config } = parseConfig(await readJson(path), path);
  const stacked = randomWeights(expectedTensors(config, "stacked"), 1);
  const apart = apartFrom(stacked, config);
  expect(await contentOf(config, stacked, "stacked")).toEqual(await contentOf(config, apart, "separate"));
});

/** The same weights under the names that they have apart. */
function apartFrom(stacked: WeightStore, config: ModelConfig): WeightStore {
  const size = config.moe?.expertSize ?? 0;
  const readRows: WeightStore["readRows"] = (tensor, start, count) => {
    const [, base = "", expert = "", matrix] = /^(.+\.experts)\.(\d+)\.(w[123])\.weight$/.exec(tensor) ?? [];
    if (matrix === undefined) return stacked.readRows(tensor, start, count);
    if (matrix === "w2") return stacked.readRows(`${base}.down_proj`, Number(expert) * config.hiddenSize + start, count);
    return stacked.readRows(`${base}.gate_up_proj`, (2 * Number(expert) + (matrix === "w3" ? 1 : 0)) * size + start, count);
  };
  return { ...randomWeights(expectedTensors(config, "separate"), 1), readRows };
}

async function contentOf(config: ModelConfig, store: WeightStore, layout: ExpertLayout): Promise<ReadonlyMap<string, string>> {
  const { graph } = preparedGraph({ graph: buildGraph(config, layout), store }, { quant: "f32" });
  const { tensors } = planExport({
    model: { name: "m", config, store, sampling: greedy, tokens: config.tokens },
    tokenizer: null,
    graph,
    name: "m",
  });
  const content = new Map<string, string>();
  for (const { name, shape, pieces } of tensors) {
    const bytes: Uint8Array[] = [];
    for await (const piece of pieces()) bytes.push(piece);
    content.set(name, `${shape.join(" x ")}: ${Buffer.concat(bytes).toString("hex")}`);
  }
  return content;
}
