/**
 * Two models, dense and mixture of experts, on every platform by the artefact's own entry: the ids, the text and the bits of logits that
 * the graph interpreter gives, or the lack that the platform is known to have. `npm run platforms` does the same at greater length.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { caseFolder } from "../golden/read.ts";
import { compileTo, demoFolder, workFolder } from "../model/support.ts";
import { expectedOutcome } from "./expected.ts";
import { Browsers, knownLack, platformsWith, type Case, type Outcome } from "./platforms.ts";

const folder = await workFolder();
const browsers = new Browsers();
afterAll(() => browsers.close());

const count = 16;
const variants = ["simd128", "relaxed"] as const;
/** One with weights in several files, one with weights in its modules. */
const models = {
  dense: { model: demoFolder, prompt: "It is a truth universally acknowledged, that", weights: { shardSize: 2 ** 20 } },
  MoE: { model: caseFolder("moe-tiny"), prompt: [1, 17, 42, 99, 5, 200, 31, 8], weights: { embedWeights: true } },
} as const;

describe.each(["dense", "MoE"] as const)("%s:", (name) => {
  const artefact = join(folder, name);
  const { model, prompt, weights } = models[name];
  const cases = variants.flatMap((variant) => [1, 3].map((threads): Case => ({ prompt, count, variant, threads })));
  let expected: Outcome;

  beforeAll(async () => {
    // A chunk that ends within the prompt.
    await compileTo(artefact, { model, context: 64, prefillChunk: 5, ...weights });
    expected = await expectedOutcome(model, artefact, prompt, count);
  });

  const platforms = platformsWith(browsers).filter(({ isNative }) => !isNative);
  test.for(platforms)("$name", async (platform, context) => {
    const engine = platform.find();
    if (!engine.available) return context.skip(engine.reason);
    const work = join(folder, `${name} ${platform.name}`);
    await mkdir(work);
    const outcomes = await platform.run(engine.path, artefact, cases, work);
    expect(outcomes).toEqual(
      cases.map((each) =>
        knownLack(platform, each) === null ? { ...expected, variant: each.variant } : { lacks: expect.any(String) as unknown },
      ),
    );
  });
});
