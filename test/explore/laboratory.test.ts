/** The laboratory: one tiny candidate really built and measured, what it plans, and when it measures anew. How fast anything is, no test says. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildOptions, compileCommand } from "../../compiler/explore/candidate-build.ts";
import { configOf, defaultBase } from "../../compiler/explore/candidate-config.ts";
import { planCandidate } from "../../compiler/explore/candidate-plan.ts";
import { openLaboratory, steadyMeasurement } from "../../compiler/explore/laboratory.ts";
import { sitesOf } from "../../compiler/explore/sites.ts";
import { sizesOf } from "../../compiler/explore/sizes.ts";
import type { Speed } from "../../compiler/explore/speed.ts";
import { isRefused, type Candidate, type Refused, type Work } from "../../compiler/explore/types.ts";
import { compile } from "../../compiler/index.ts";
import { required } from "../../compiler/errors.ts";
import { refusal, workFolder } from "../model/support.ts";
import { sampleCandidate } from "./sample-results.ts";

const folder = await workFolder();
const work: Work = { context: 256, prompt: 64, threads: 1 };
const base = { ...defaultBase, vocab_size: 512 };
const dense = sampleCandidate("a");
const mixture = sampleCandidate("b");
/** No multiple of kvHeads. */
const illegal: Candidate = { ...dense, id: "cccccccc", heads: 4, kvHeads: 3 };
const sites = await sitesOf(["wasm-simd"], work.threads);

const laboratory = openLaboratory({
  sites,
  work,
  configOf: (candidate) => configOf(candidate, base),
  onStage: () => undefined,
  processes: 1,
});

beforeAll(async () => {
  await mkdir(join(folder, "tmp"));
  process.env.TMPDIR = join(folder, "tmp");
});
afterAll(async () => {
  delete process.env.TMPDIR;
  await laboratory.close();
});

test("builds and measures a candidate, refuses one that the compiler refuses, and leaves nothing behind", async () => {
  const [refused, measured] = (await laboratory.measure([illegal, dense])).map(([outcome]) => required(outcome, "outcome"));
  expect(refused).toHaveProperty("refused", expect.stringContaining("num_key_value_heads"));
  const figures = required(measured, "figures");
  if (isRefused(figures)) throw new Error(figures.refused);
  for (const figure of Object.values(figures)) expect(figure).toBeGreaterThan(0);
  const { memoryBytes, cacheBytes, peakBytes } = figures;
  expect((await laboratory.plan(dense))[0]).toMatchObject({ memoryBytes, cacheBytes });
  expect(peakBytes).toBeGreaterThan(memoryBytes);
  expect(await readdir(join(folder, "tmp"))).toEqual([]);
});

describe("a plan", () => {
  test.each([
    ["wasm-simd", "relaxed"],
    ["c-x86", "avx2"],
  ] as const)("for %s has the memory that a compile without writing tells, and the parameters of the sizes", async (target, variant) => {
    const site = { ...required(sites[0], "site"), target, variant };
    const model = join(folder, "config.json");
    await writeFile(model, JSON.stringify(configOf(mixture, base)));
    const { memory } = await compile({ ...buildOptions(mixture, site, work), model, dryRun: true });
    expect(await planCandidate(mixture, configOf(mixture, base), site, work)).toEqual({
      memoryBytes: memory.bytes + memory.threadBytes + (target === "c-x86" ? memory.weights.bytes : 0),
      cacheBytes: memory.state.slotBytes,
      weightBytes: memory.weights.bytes,
      parameters: sizesOf(mixture, base).parameters,
    });
  });

  test("of a model that the compiler refuses says why", async () => {
    expect((await laboratory.plan(illegal))[0]).toHaveProperty("refused", expect.stringContaining("num_key_value_heads"));
  });
});

test("the command builds what was measured", () => {
  const [site] = sites;
  expect(compileCommand(dense, required(site, "site"), work)).toBe(
    "lfmc compile configs/aaaaaaaa.json --target wasm-simd --features simd128,relaxed --variants relaxed --context 256 --quant q4_0 --kv f16 --random-weights 0 -o aaaaaaaa-wasm-simd",
  );
});

test("variants that a target has not are refused", async () => {
  const error = await refusal(() => compile({ model: "none", target: "c-x86", variants: ["avx2", "neon"], dryRun: true }));
  expect(error).toMatchObject({ code: "usage/flag", subject: "--variants" });
});

describe("a disturbed measurement", () => {
  const job = { base: "", library: null, variant: null, threads: 1, prompt: 1 };
  /** Of a process whose fixed work took `seconds`, and of the processor `processorSeconds`. */
  const speed = (seconds: number, processorSeconds = 1): Speed => ({
    decodeMs: seconds,
    decodeSpread: 0,
    prefillMs: 1,
    peakBytes: 1,
    reference: { seconds, processorSeconds },
  });

  /** Gives one after the other, and says how many were taken. */
  function measureFrom(outcomes: readonly (Speed | Refused)[]): {
    readonly measure: ReturnType<typeof steadyMeasurement>;
    readonly taken: () => number;
  } {
    let taken = 0;
    return { measure: steadyMeasurement(() => Promise.resolve(required(outcomes[taken++], "outcome"))), taken: () => taken };
  }

  test("is taken anew, the first one too, and the least disturbed one counts", async () => {
    const { measure, taken } = measureFrom([speed(1.5), speed(1.05), speed(1), speed(1.3), speed(1.2), speed(1.4), speed(1.25), speed(1)]);
    expect(await measure(job)).toEqual(speed(1.05));
    expect(await measure(job)).toEqual(speed(1));
    expect(await measure(job)).toEqual(speed(1.2));
    expect(taken()).toBe(7);
  });

  test("is one whose fixed work needed more of the processor than usual, too", async () => {
    const { measure, taken } = measureFrom([speed(1), speed(1), speed(1.5, 1.5), speed(1)]);
    for (let i = 0; i < 3; i++) expect(await measure(job)).toEqual(speed(1));
    expect(taken()).toBe(4);
  });

  test("counts as it is where the next one is refused, as a refusal does", async () => {
    const refused = { refused: "no memory" };
    const { measure } = measureFrom([refused, speed(2), refused, refused, refused]);
    expect(await measure(job)).toEqual(refused);
    expect(await measure(job)).toEqual(speed(2));
  });
});
