/**
 * The promise of the numeric contract: the compiled module gives, bit for bit, the logits that the graph interpreter defines; for every
 * golden case and for English through the demo model, with quantised and whole weights, and either KV cache.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NumericOptions } from "../../compiler/options.ts";
import type { Model } from "../../runtime/index.ts";
import { caseFolder, goldenCases, readGolden, type GoldenCase } from "../golden/read.ts";
import { compileTo, contractInterpreter, demoFolder, firstDifference, forwardAll, interpretAll, oneThread, openModel } from "./support.ts";

/** Every encoding of weights, cache and activations, and a mixture; of them two see English in `npm test`. */
const formats: readonly { readonly options: NumericOptions; readonly english: boolean }[] = [
  { options: { quant: "q4_0" }, english: true },
  { options: { quant: "f32" }, english: false },
  { options: { quant: "q4_0", kv: "f32" }, english: false },
  { options: { quant: "f32", kv: "f16" }, english: false },
  { options: { quant: "q8_0" }, english: false },
  { options: { quant: "f16", kv: "q8_0" }, english: true },
  { options: { quant: "bf16" }, english: false },
  { options: { quant: "keep", kv: "q8_0" }, english: false },
  { options: { quant: "q4_0", activations: "f32" }, english: false },
  { options: { quant: "q8_0", activations: "f32", kv: "q8_0" }, english: false },
  { options: { quant: "q4_0", tensorTypes: ["model.embed_tokens.*=q8_0", "*.w2.*=f16", "*.q_proj.*=f32"] }, english: false },
  { options: { quant: "q3_0" }, english: false },
  { options: { quant: "q4_1" }, english: false },
  { options: { quant: "q3_0", activations: "f32", tensorTypes: ["model.embed_tokens.*=q4_1"] }, english: false },
];
/** The formats that all cases run in; the others run in turn on the case in which nothing is a multiple of 16, and on a mixture of experts. */
const thorough = 2;

/** Tokens of a golden case, prompt and reference continuation; of the long one so many that a query sees several blocks of 64 positions. */
function goldenTokens(name: GoldenCase): readonly number[] {
  const { ids, greedyIds } = readGolden(name);
  return name === "dense-long" ? ids.slice(0, 400) : [...ids, ...greedyIds];
}

/** Declares the tests, which work in `folder`: every format with every case and English, or as much of it as is enough. */
export function declareModelBits(folder: string, extent: "all" | "enough"): void {
  for (const [i, { options, english }] of formats.entries()) {
    describe(JSON.stringify(options), () => {
      const cases: readonly GoldenCase[] = extent === "all" || i < thorough ? goldenCases : i % 2 === 0 ? ["dense-odd"] : ["moe-plain"];
      test.each(cases)("%s: every logit of the module has the interpreter's bits", async (name) => {
        const place = join(folder, `${name}-${i}`);
        await compileTo(place, { model: caseFolder(name), features: oneThread, ...options });
        await agree(place, caseFolder(name), options, () => Promise.resolve(goldenTokens(name)));
      });

      if (extent === "enough" && !english) return;
      test("demo model: 16 tokens of English have the interpreter's bits", async () => {
        const place = join(folder, `demo-${i}`);
        await compileTo(place, { model: demoFolder, features: oneThread, ...options });
        await agree(place, demoFolder, options, (model) => englishTokens(model, 16));
      });
    });
  }
}

/** Holds every variant of an artefact to the interpreter of its model. */
async function agree(
  artefact: string,
  source: string,
  options: NumericOptions,
  tokensFor: (model: Model) => Promise<readonly number[]>,
): Promise<void> {
  const interpreter = await contractInterpreter(source, options);
  let expected: readonly Float32Array[] | null = null;
  for (const variant of oneThread) {
    const model = await openModel(artefact, { variant });
    const tokens = await tokensFor(model);
    const found = forwardAll(model, tokens);
    expect(found).toHaveLength(tokens.length);
    expected ??= interpretAll(interpreter, tokens);
    expect(firstDifference(found, expected), variant).toBeNull();
    await model.dispose();
  }
}

/** The beginning of a novel's middle, as the model's own tokenizer cuts it. */
async function englishTokens(model: Model, count: number): Promise<readonly number[]> {
  const text = await readFile(join(demoFolder, "text", "persuasion.txt"), "utf8");
  const tokens = model.tokenizer?.encode(text.slice(100_000, 100_000 + 8 * count)).slice(0, count) ?? [];
  expect(tokens).toHaveLength(count);
  return tokens;
}
