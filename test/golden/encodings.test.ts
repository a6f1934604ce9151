/**
 * The encodings against the reference implementation, under the contract. Where only the weights are encoded, its logits with ggml's
 * dequantised weights must come out (as close as an f32 engine comes). What else is rounded is held to bounds a little above what was
 * measured on these models, whose random weights react far more than trained ones do.
 */
import { describe, expect, test } from "vitest";
import { runPasses, standardPasses, type PassOptions } from "../../compiler/passes/index.ts";
import { type GoldenCase, goldenTensor, interpretCase, largestDifference, meanDivergence, readGolden } from "./read.ts";

const exact: PassOptions = { weights: () => "f32", activations: "f32", kv: "f32" };

/** Logits of the prompt, row after row. */
async function promptLogits(name: GoldenCase, options: Partial<PassOptions>): Promise<Float32Array> {
  const interpreter = await interpretCase(name, "contract", (graph) => runPasses(graph, standardPasses({ ...exact, ...options })));
  const rows = readGolden(name).ids.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
  return Float32Array.from(interpreter.forward(rows).logits.flatMap((row) => [...row]));
}

test.each([
  { name: "dense-tiny", encoding: "q8_0", file: "golden.Q8_0" },
  { name: "dense-tiny", encoding: "q4_0", file: "golden.Q4_0" },
  { name: "moe-tiny", encoding: "q8_0", file: "golden.Q8_0" },
  { name: "moe-tiny", encoding: "q4_0", file: "golden.Q4_0" },
  // Stored in bfloat16, and small enough for binary16 to hold as well.
  { name: "dense-odd", encoding: "bf16", file: "golden" },
  { name: "dense-odd", encoding: "f16", file: "golden" },
  { name: "moe-bias", encoding: "bf16", file: "golden" },
] as const)("$name with weights in $encoding gives $file's logits", async ({ name, encoding, file }) => {
  const logits = await promptLogits(name, { weights: () => encoding });
  expect(largestDifference(logits, goldenTensor(name, file, "logits"))).toBeLessThanOrEqual(1e-4);
});

/** Measured: largest difference of a logit (they reach 9.6), mean KL divergence of a row. */
describe.each([
  // dense-tiny 0.394 and 0.0029, dense-odd 0.433 and 0.0032, dense-extra 0.350 and 0.0023. A mixture's close choices of experts flip.
  {
    what: "q8_0 weights, q8 activations",
    options: { weights: () => "q8_0", activations: "q8" },
    only: /^dense/,
    logit: 0.5,
    divergence: 0.004,
  },
  // 0.248, 0.277 and 0.240; 0.0014, 0.0016 and 0.0009.
  { what: "q8_0 weights, f32 activations", options: { weights: () => "q8_0" }, only: /^dense/, logit: 0.32, divergence: 0.002 },
  // At most 0.086 (dense-tiny) and 0.00015 (dense-extra).
  { what: "q8_0 cache", options: { kv: "q8_0" }, only: /./, logit: 0.1, divergence: 0.0002 },
  // At most 0.0056 and 7e-7 (dense-extra).
  { what: "f16 cache", options: { kv: "f16" }, only: /./, logit: 0.008, divergence: 1e-6 },
] satisfies readonly { options: Partial<PassOptions>; [more: string]: unknown }[])("$what", ({ options, only, logit, divergence }) => {
  const cases = ["dense-tiny", "dense-odd", "dense-extra", "moe-tiny", "moe-bias", "moe-plain", "moe-cold"] as const;
  test.each(cases.filter((name) => only.test(name)))("%s stays close to f32", async (name) => {
    const golden = goldenTensor(name, "golden", "logits");
    const logits = await promptLogits(name, options);
    expect(largestDifference(logits, golden)).toBeLessThanOrEqual(logit);
    expect(meanDivergence(golden, logits, readGolden(name).ids.length)).toBeLessThanOrEqual(divergence);
  });
});
