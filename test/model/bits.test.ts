/**
 * The promise of the numeric contract: the compiled module gives, bit for bit, the logits that the graph interpreter defines; for every
 * dense golden case and for English through the demo model, with quantised and whole weights, and either KV cache.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NumericOptions } from "../../compiler/options.ts";
import type { Model } from "../../runtime/index.ts";
import { caseFolder, goldenCases, readGolden, type GoldenCase } from "../golden/read.ts";
import {
  compileTo,
  contractInterpreter,
  demoFolder,
  firstDifference,
  forwardAll,
  interpretAll,
  oneThread,
  openModel,
  workFolder,
} from "./support.ts";

const folder = await workFolder();

/** Every encoding of weights, cache and activations, and a mixture. */
const formats: readonly NumericOptions[] = [
  { quant: "q4_0" },
  { quant: "f32" },
  { quant: "q4_0", kv: "f32" },
  { quant: "f32", kv: "f16" },
  { quant: "q8_0" },
  { quant: "f16", kv: "q8_0" },
  { quant: "bf16" },
  { quant: "keep", kv: "q8_0" },
  { quant: "q4_0", activations: "f32" },
  { quant: "q8_0", activations: "f32", kv: "q8_0" },
  { quant: "q4_0", tensorTypes: ["model.embed_tokens.*=q8_0", "*.w2.*=f16", "*.q_proj.*=f32"] },
];
const labelled = formats.map((options, i) => ({ label: JSON.stringify(options), options, i }));
/** The formats that all cases run in; the others run on the case in which nothing is a multiple of 16, and on a mixture of experts. */
const thorough = 2;
const casesOf = (format: number): readonly GoldenCase[] => (format < thorough ? goldenCases : ["dense-odd", "moe-plain"]);

/** Tokens of a golden case, prompt and reference continuation; of the long one so many that a query sees several blocks of 64 positions. */
function goldenTokens(name: GoldenCase): readonly number[] {
  const { ids, greedyIds } = readGolden(name);
  return name === "dense-long" ? ids.slice(0, 400) : [...ids, ...greedyIds];
}

describe.each(labelled)("$label", ({ options, i }) => {
  test.each(casesOf(i))("%s: every logit of the module has the interpreter's bits", async (name) => {
    const place = join(folder, `${name}-${i}`);
    await compileTo(place, { model: caseFolder(name), features: oneThread, ...options });
    await agree(place, caseFolder(name), options, () => Promise.resolve(goldenTokens(name)));
  });

  test("demo model: 16 tokens of English have the interpreter's bits", async () => {
    const place = join(folder, `demo-${i}`);
    await compileTo(place, { model: demoFolder, features: oneThread, ...options });
    await agree(place, demoFolder, options, (model) => englishTokens(model, 16));
  });
});

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
