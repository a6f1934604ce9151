/**
 * The promise of the numeric contract: the compiled module gives, bit for bit, the logits that the graph interpreter defines; for every
 * dense golden case and for English through the demo model, with quantised and whole weights, and either KV cache.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Kv, Quant } from "../../compiler/options.ts";
import { caseFolder, readGolden } from "../golden/read.ts";
import {
  compileTo,
  contractInterpreter,
  demoFolder,
  denseCases,
  type DenseCase,
  firstDifference,
  forwardAll,
  interpretAll,
  openModel,
  workFolder,
} from "./support.ts";

const folder = await workFolder();

const formats: readonly { readonly quant: Quant; readonly kv: Kv }[] = [
  { quant: "q4_0", kv: "f16" },
  { quant: "q4_0", kv: "f32" },
  { quant: "f32", kv: "f32" },
  { quant: "f32", kv: "f16" },
];

/** Tokens of a golden case, prompt and reference continuation; of the long one so many that a query sees several blocks of 64 positions. */
function goldenTokens(name: DenseCase): readonly number[] {
  const { ids, greedyIds } = readGolden(name);
  return name === "dense-long" ? ids.slice(0, 400) : [...ids, ...greedyIds];
}

describe.each(formats)("weights $quant, KV cache $kv", ({ quant, kv }) => {
  test.each(denseCases)("%s: every logit of the module has the interpreter's bits", async (name) => {
    const { folder: artefact } = await compileTo(join(folder, `${name}-${quant}-${kv}`), { model: caseFolder(name), quant, kv });
    const tokens = goldenTokens(name);
    const model = await openModel(artefact);
    const found = forwardAll(model, tokens);
    expect(found).toHaveLength(tokens.length);
    expect(firstDifference(found, interpretAll(await contractInterpreter(caseFolder(name), { quant, kv }), tokens))).toBeNull();
    await model.dispose();
  });

  test("demo model: 64 tokens of English have the interpreter's bits", async () => {
    const { folder: artefact } = await compileTo(join(folder, `demo-${quant}-${kv}`), { model: demoFolder, quant, kv });
    const model = await openModel(artefact);
    const tokens = await englishTokens(model, 64);
    const found = forwardAll(model, tokens);
    expect(firstDifference(found, interpretAll(await contractInterpreter(demoFolder, { quant, kv }), tokens))).toBeNull();
    await model.dispose();
  });
});

/** The beginning of a novel's middle, as the model's own tokenizer cuts it. */
async function englishTokens(model: Awaited<ReturnType<typeof openModel>>, count: number): Promise<readonly number[]> {
  const text = await readFile(join(demoFolder, "text", "persuasion.txt"), "utf8");
  const tokens = model.tokenizer?.encode(text.slice(100_000, 100_000 + 8 * count)).slice(0, count) ?? [];
  expect(tokens).toHaveLength(count);
  return tokens;
}
