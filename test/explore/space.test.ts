/** The space: all that comes out of it is legal, and its sizes are those that the compiler finds. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parameterCount } from "../../compiler/artefact/manifest.ts";
import { shapeOf } from "../../compiler/bench/shapes.ts";
import { required } from "../../compiler/errors.ts";
import { configOf, defaultBase } from "../../compiler/explore/candidate-config.ts";
import { planCandidate } from "../../compiler/explore/candidate-plan.ts";
import { express, withId, type Genotype } from "../../compiler/explore/genes.ts";
import { estimateMemory } from "../../compiler/explore/memory.ts";
import { createRandom } from "../../compiler/explore/random.ts";
import { sizesOf } from "../../compiler/explore/sizes.ts";
import { cross, defaultSpace, drawGenotype, isPattern, isProportioned, mutate } from "../../compiler/explore/space.ts";
import { narrowed } from "../../compiler/explore/space-file.ts";
import { parseConfig } from "../../compiler/import/config.ts";

/** What some seeds draw, change and cross. */
const genotypes = fc.tuple(fc.nat(), fc.nat()).map(([seed, turns]) => {
  const random = createRandom(seed);
  const draw = (): Genotype => required(drawGenotype(defaultSpace, random), "genotype");
  let genotype = draw();
  for (let i = 0; i < turns % 12; i++)
    genotype = random.chance(0.5) ? mutate(genotype, defaultSpace, random) : cross(genotype, draw(), random);
  return genotype;
});

describe("every genotype", () => {
  test("has a pattern and proportions like LFM2, of the space's values", () => {
    fc.assert(
      fc.property(genotypes, (genotype) => {
        expect(isPattern(genotype.layers)).toBe(true);
        expect(isProportioned(genotype)).toBe(true);
        const genes: Readonly<Record<string, unknown>> = { ...genotype, layers: genotype.layers.length };
        for (const [gene, values] of Object.entries(defaultSpace)) expect(values).toContain(genes[gene]);
      }),
    );
  });

  test("gives a config that the importer takes without a warning, whose weights are as many as counted", () => {
    fc.assert(
      fc.property(genotypes, (genotype) => {
        const candidate = express(genotype);
        const { config, warnings } = parseConfig(configOf(candidate, defaultBase), "config.json");
        expect(warnings).toEqual([]);
        expect(config.layers).toHaveLength(candidate.layers.length);
        expect(config.feedForwardSize).toBe(candidate.ffnWidth);
        expect(config.moe?.expertSize ?? null).toBe(candidate.experts?.width ?? null);
        expect(sizesOf(candidate, defaultBase).parameters).toBe(parameterCount(shapeOf("x", config).graph));
      }),
      { numRuns: 30 },
    );
  });

  test("has an id that follows from the rest alone", () => {
    fc.assert(
      fc.property(genotypes, genotypes, (first, second) => {
        const [a, b] = [express(first), express(second)];
        expect(a.id).toMatch(/^[0-9a-f]{8}$/);
        const { id: _, ...genes } = a;
        expect(withId(genes)).toEqual(a);
        expect(a.id === b.id).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });
});

test("the memory of a plan is foretold within a tenth", async () => {
  const random = createRandom(3);
  const work = { context: 1024, prompt: 128, threads: 1 };
  const base = { ...defaultBase, vocab_size: 8192 };
  const site = { target: "wasm-simd", variant: "simd128", engine: "", cpu: "", threads: 1 } as const;
  const space = narrowed({ layers: [4, 5], width: [128, 192] }, "space.json");
  for (let i = 0; i < 2; i++) {
    const candidate = express(required(drawGenotype(space, random), "genotype"));
    const { memoryBytes, parameters } = await planCandidate(candidate, configOf(candidate, base), site, work);
    expect(Math.abs(estimateMemory(candidate, base, work) / memoryBytes - 1)).toBeLessThan(0.1);
    expect(parameters).toBe(sizesOf(candidate, base).parameters);
  }
});

describe("--space", () => {
  test("lists take the place of the usual ones, in rising order", () => {
    expect(narrowed({ width: [320, 256, 320], kv: ["f16"] }, "space.json")).toEqual({ ...defaultSpace, width: [256, 320], kv: ["f16"] });
  });

  test.each([
    [{ widths: [64] }, /expected an object whose keys are some of layers, width/],
    [{ width: [] }, /width is \[\]; expected a list that is not empty/],
    [{ width: [100] }, /expected a multiple of 64/],
    [{ quant: ["keep"] }, /expected one of/],
    [{ ffnRatio: ["2"] }, /expected a number from/],
    [[], /expected an object/],
  ])("%j is refused", (json, message) => {
    expect(() => narrowed(json, "space.json")).toThrow(message);
  });

  test("a space without a legal point draws nothing", () => {
    const empty = { ...defaultSpace, layers: [32], width: [64] };
    expect(drawGenotype(empty, createRandom(0))).toBeNull();
  });
});
