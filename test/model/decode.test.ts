/**
 * Ways to decode on trained models: the tokens of one at a time for prompts from held-back text, at temperature 0 and sampled; and forward passes a token,
 * which are a count and the same everywhere. `npm run bench:decode` has 200 prompts and every variant of every target.
 */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Decode, Model } from "../../runtime/index.ts";
import { heldBackPrompts } from "../bench/quality.ts";
import { compileTo, demoFolder, openModel, workFolder } from "./support.ts";

const folder = await workFolder();
const prompts = await heldBackPrompts(12, 32);
/** Of these some are enough where passes are not counted closely. */
const fewPrompts = 5;
const maxTokens = 64;

/** Most forward passes a token, over the prompts above. */
const models = [
  { name: "demo model", path: demoFolder, most: { jacobi: 0.7, lookup: 0.7 } },
  { name: "consistency-tuned", path: join(demoFolder, "consistency"), most: { jacobi: 0.55, lookup: 0.75 } },
] as const;

describe.each(models)("$name", ({ name, path, most }) => {
  let model: Model;

  beforeAll(async () => {
    const compiled = await compileTo(join(folder, name), { model: path, features: ["simd128"], context: 128 });
    model = await openModel(compiled.folder);
  });

  async function run(
    decode: Decode,
    temperature: number,
  ): Promise<{ readonly ids: readonly (readonly number[])[]; readonly passes: number }> {
    const session = model.createSession();
    let [passes, decoded] = [0, 0];
    const ids: (readonly number[])[] = [];
    for (const [seed, prompt] of prompts.slice(0, temperature === 0 ? prompts.length : fewPrompts).entries()) {
      session.reset();
      const { tokens, stats } = await session.complete(prompt, { decode, temperature, topK: 40, seed, maxTokens, repetitionPenalty: 1 });
      ids.push(tokens);
      passes += stats.forwardPasses - 1;
      decoded += tokens.length - 1;
    }
    session.release();
    return { ids, passes: passes / decoded };
  }

  test.each([0, 0.7])("temperature %d: every way gives the same tokens", async (temperature) => {
    const greedy = await run("greedy", temperature);
    for (const decode of ["jacobi", "lookup"] as const) {
      const { ids, passes } = await run(decode, temperature);
      expect(ids).toEqual(greedy.ids);
      expect(passes).toBeLessThan(temperature === 0 ? most[decode] : 1);
    }
  });
});
