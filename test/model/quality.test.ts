/** What quantisation costs the demo model, held to PyTorch's estimates on the same tokens: no worse by more than a fifth. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { artefactLogits, type LogitSource } from "../../compiler/evaluate/logit-source.ts";
import { score } from "../../compiler/evaluate/score.ts";
import { demoModel, encodings, estimatedTokens, heldBackWindows, remembered, whole, type Encoding } from "../bench/quality.ts";
import { compileTo, oneThread, openModel, workFolder } from "./support.ts";

const folder = await workFolder();
const windows = await heldBackWindows(estimatedTokens);
const slack = 1.2;

async function logitsIn({ flags, options }: Encoding): Promise<LogitSource> {
  const path = join(folder, flags.replace(/[^a-z0-9]+/g, "-"));
  await compileTo(path, { ...options, model: demoModel, features: oneThread, context: estimatedTokens + 1 });
  return artefactLogits(await openModel(path));
}

const reference = remembered(await logitsIn(whole));
const estimated = encodings.flatMap((encoding) => (encoding.estimate ? [{ ...encoding, estimate: encoding.estimate }] : []));

test.each(estimated)("$flags", async ({ estimate, ...encoding }) => {
  const { tokens, kl, top1 } = score(windows, await logitsIn(encoding), reference);
  expect(tokens).toBe(6 * estimatedTokens);
  expect(kl).toBeGreaterThan(estimate.kl / 2);
  expect(kl).toBeLessThan(estimate.kl * slack);
  expect(1 - Number(top1)).toBeLessThan((1 - estimate.top1) * slack);
});
