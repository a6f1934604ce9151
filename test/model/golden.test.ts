/**
 * Compiled models against the reference implementation: with f32 weights the logits of every golden case's prompt are the
 * reference's within 1e-3, and a session goes on with the same 32 greedy tokens.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Model } from "../../runtime/index.ts";
import { caseFolder, goldenCases, largestDifference, readGolden, type GoldenCase } from "../golden/read.ts";
import { compileNative, openNative } from "../native/support.ts";
import { compileTo, forwardAll, oneThread, openModel, workFolder } from "./support.ts";

const folder = await workFolder();

/** The model of a case with f32 weights, by target. */
const opened: Readonly<Record<"wasm-simd" | "c", (name: GoldenCase) => Promise<Model>>> = {
  "wasm-simd": async (name) =>
    openModel((await compileTo(join(folder, name), { model: caseFolder(name), quant: "f32", features: oneThread })).folder),
  c: async (name) => openNative(await compileNative(join(folder, `${name}-c`), { model: caseFolder(name), quant: "f32", target: "c" })),
};
/** In C the mixtures: of the dense cases test/bits shows that C has the bits of WebAssembly. */
const runs = [
  ...goldenCases.map((name) => ({ name, target: "wasm-simd" }) as const),
  ...goldenCases.filter((name) => name.startsWith("moe-")).map((name) => ({ name, target: "c" }) as const),
];

test.each(runs)(
  "$name, $target: f32 logits within 1e-3 of the reference, and its 32 greedy tokens",
  { timeout: 60_000 },
  async ({ name, target }) => {
    const { ids, greedyIds, tensors } = readGolden(name);
    const expected = tensors.get("logits");
    if (!expected) throw new Error("the golden file has no logits");

    const model = await opened[target](name);
    const vocabulary = model.manifest.model.vocabSize;
    expect(expected.shape).toEqual([ids.length, vocabulary]);
    const rows = forwardAll(model, ids);
    for (const [position, row] of rows.entries()) {
      const difference = largestDifference(row, expected.data.subarray(position * vocabulary, (position + 1) * vocabulary));
      expect(difference, `position ${position}`).toBeLessThanOrEqual(1e-3);
    }

    const { tokens, stopReason } = await model.createSession().complete(ids, { maxTokens: 32, temperature: 0, ignoreEos: true });
    expect(greedyIds).toHaveLength(32);
    expect(tokens).toEqual(greedyIds);
    expect(stopReason).toBe("length");
    await model.dispose();
  },
);
