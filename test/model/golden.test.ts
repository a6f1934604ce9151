/**
 * Compiled models against the reference implementation: with f32 weights the logits of every dense golden case's prompt are the
 * reference's within 1e-3, and a session goes on with the same 32 greedy tokens.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { caseFolder, largestDifference, readGolden } from "../golden/read.ts";
import { compileTo, denseCases, forwardAll, openModel, workFolder } from "./support.ts";

const folder = await workFolder();

test.each(denseCases)("%s: f32 logits within 1e-3 of the reference, and its 32 greedy tokens", async (name) => {
  const { ids, greedyIds, tensors } = readGolden(name);
  const expected = tensors.get("logits");
  if (!expected) throw new Error("the golden file has no logits");
  const { folder: artefact } = await compileTo(join(folder, name), { model: caseFolder(name), quant: "f32" });

  const model = await openModel(artefact);
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
});
