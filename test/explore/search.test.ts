/** The search against a device that is a formula, in a space so small that every candidate can be looked at. */
import { describe, expect, test } from "vitest";
import { required } from "../../compiler/errors.ts";
import { exceededBudgets, objectivesOf } from "../../compiler/explore/budgets.ts";
import { defaultBase } from "../../compiler/explore/candidate-config.ts";
import { express, type Genotype } from "../../compiler/explore/genes.ts";
import { capacityJudge, commandJudge } from "../../compiler/explore/judge.ts";
import { estimateMemory } from "../../compiler/explore/memory.ts";
import { frontOf } from "../../compiler/explore/pareto.ts";
import { capacityOf } from "../../compiler/explore/quality.ts";
import { replayLaboratory, replayPace } from "../../compiler/explore/replay.ts";
import { parseResults } from "../../compiler/explore/results-file.ts";
import { resultFiles, resultsOf } from "../../compiler/explore/results.ts";
import { search, type SearchInput } from "../../compiler/explore/search.ts";
import { sizesOf } from "../../compiler/explore/sizes.ts";
import { isPattern, isProportioned, type Space } from "../../compiler/explore/space.ts";
import type { Budgets, Candidate, LayerType, Results, Work } from "../../compiler/explore/types.ts";
import { fakeLaboratory, fakeSites, trueTimes } from "./fake-laboratory.ts";

const work: Work = { context: 1024, prompt: 128, threads: 1 };
const base = { ...defaultBase, vocab_size: 4096 };
const budgets: Budgets = { decodeMs: 1.4, prefillMs: null, memoryBytes: 14e6, parameters: null, margin: 0.1 };
const space: Space = {
  layers: [4, 6],
  width: [128, 192, 256, 320],
  headSize: [32, 64],
  headsPerKey: [2],
  convWidth: [3],
  ffnRatio: [2, 3, 4],
  experts: [0, 4],
  expertsPerToken: [2],
  expertRatio: [1],
  denseLayers: [2],
  quant: ["q4_0", "q8_0"],
  kv: ["f16"],
};

/** Every pattern of so many layers. */
function patterns(count: number): readonly (readonly LayerType[])[] {
  const all = Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_layer, i): LayerType => ((bits >> i) & 1 ? "full_attention" : "conv")),
  );
  return all.filter(isPattern);
}

/** Every candidate of the space. */
function everyCandidate(): readonly Candidate[] {
  const lists = Object.entries({ ...space, layers: space.layers.flatMap(patterns) });
  const genotypes = lists.reduce<readonly object[]>(
    (partial, [gene, values]) => partial.flatMap((genes) => values.map((value) => ({ ...genes, [gene]: value }))),
    [{}],
  );
  const legal = genotypes.filter(isGenotype).filter(isProportioned).map(express);
  return [...new Map(legal.map((candidate) => [candidate.id, candidate])).values()];
}

function isGenotype(genes: object): genes is Genotype {
  return Object.keys(space).every((gene) => gene in genes);
}

function input(options: Partial<SearchInput> = {}): SearchInput {
  return {
    laboratory: fakeLaboratory(base, work),
    space,
    seed: 1,
    measurements: 42,
    budgets,
    judge: capacityJudge(base),
    frame: { base, work, siteCount: fakeSites.length },
    pace: { allows: () => true },
    onProgress: () => undefined,
    ...options,
  };
}

async function resultsFrom(options: Partial<SearchInput> = {}): Promise<{ results: Results; text: string }> {
  const request = input(options);
  const found = await search(request);
  const { sites } = request.laboratory;
  const told = { ...request, sites, lfmc: "0", command: "lfmc explore", evaluate: null };
  const results = resultsOf(found, told);
  return {
    results,
    text: resultFiles(results, told)
      .map(({ path, text }) => `${path}\n${text}`)
      .join("\n"),
  };
}

/** The true front at a site, of candidates that keep the budgets with the margin and a little more than the noise. */
function trueFront(site: number): readonly { readonly quality: number; readonly objectives: readonly number[] }[] {
  const all = everyCandidate().map((candidate) => {
    const spent = {
      ...trueTimes(candidate, site, base, work),
      memoryBytes: estimateMemory(candidate, base, work),
      parameters: sizesOf(candidate, base).parameters,
    };
    const quality = capacityOf(candidate, base);
    const isKept = exceededBudgets(spent, { ...budgets, margin: 0.13 }).length === 0;
    return { quality, objectives: objectivesOf(spent, quality, budgets), violation: isKept ? 0 : 1 };
  });
  return frontOf(all.filter(({ violation }) => violation === 0));
}

const once = await resultsFrom();

describe("in a small space", () => {
  test("the best that keeps the budgets is found, or nearly so, at each site, and all of the front keeps them twice", () => {
    const { results } = once;
    expect(everyCandidate().length).toBeGreaterThan(800);
    fakeSites.forEach((_, site) => {
      const front = required(results.fronts[site], "front").map((id) =>
        required(
          results.points.find(({ candidate }) => candidate.id === id),
          id,
        ),
      );
      expect(front.length).toBeGreaterThan(3);
      for (const point of front) {
        const { measured, confirmed, exceeded } = required(point.sites[site], "site");
        expect(exceeded).toEqual([]);
        for (const outcome of [measured, confirmed]) {
          if (outcome === null || "refused" in outcome) throw new Error("a point of the front was not measured twice");
          expect(outcome.decodeMs * 1.1).toBeLessThanOrEqual(1.4);
          expect(outcome.memoryBytes).toBeLessThanOrEqual(14e6);
        }
      }
      const best = Math.max(...trueFront(site).map(({ quality }) => quality));
      expect(Math.max(...front.map(({ quality }) => quality ?? 0))).toBeGreaterThan(0.95 * best);
    });
  });

  test("what the models foretell is near what is measured then, though the formula has no such features", () => {
    const { results } = once;
    for (const models of results.models) {
      for (const { medianError, unseenErrors } of models) {
        expect(unseenErrors).toHaveLength(30);
        expect(medianError).toBeLessThan(0.06);
      }
    }
  });

  test("the same seed gives the same bytes, and so does a replay of the results as they were written, which ends where the time had ended", async () => {
    const pace = { allows: (rounds: number) => rounds < 3 };
    const first = await resultsFrom({ pace });
    expect(first.results).toMatchObject({ endedBy: "time", rounds: 3 });
    expect((await resultsFrom({ pace })).text).toBe(first.text);
    const read = parseResults(JSON.parse(JSON.stringify(first.results)), "results.json");
    const device = fakeLaboratory(base, work);
    const replay = (seed: number) =>
      resultsFrom({ laboratory: replayLaboratory(read, "results.json", device), pace: replayPace(read), seed });
    expect((await replay(1)).text).toBe(first.text);
    expect(device.asked).toEqual([]);
    // Another seed asks for what was not measured then.
    await expect(replay(5)).rejects.toMatchObject({ code: "run/input", subject: "results.json" });
  });

  test("what the compiler refuses is told and not measured, and a space is searched to its end", async () => {
    const tiny: Space = { ...space, layers: [4], width: [128], ffnRatio: [2, 3], experts: [0], headSize: [32] };
    const laboratory = fakeLaboratory(base, work, { refuses: ({ quant }) => quant === "q8_0" });
    const { results } = await resultsFrom({ space: tiny, laboratory });
    expect(results.endedBy).toBe("space");
    expect(results.points.length).toBeGreaterThan(3);
    expect(results.points.every(({ candidate }) => candidate.quant === "q4_0")).toBe(true);
    expect(results.refusals.length).toBeGreaterThan(0);
    expect(new Set(results.refusals.map(({ why }) => why))).toEqual(new Set(["no such model"]));
  });

  test("a user's figure decides, and candidates without one are on no front", async () => {
    const asked: string[] = [];
    const judge = commandJudge(base, (candidate) => {
      asked.push(candidate.id);
      const { layers, width } = candidate;
      return Promise.resolve(width === 128 ? { quality: null, fault: "ended with 1" } : { quality: -layers.length, fault: null });
    });
    const { results } = await resultsFrom({ judge, measurements: 18 });
    expect(asked).toEqual(results.points.map(({ candidate }) => candidate.id));
    expect(results.points.some(({ qualityFault }) => qualityFault === "ended with 1")).toBe(true);
    for (const id of results.fronts.flat()) {
      const { candidate, quality } = required(
        results.points.find((point) => point.candidate.id === id),
        id,
      );
      expect(candidate.width).not.toBe(128);
      expect(quality).toBe(-candidate.layers.length);
    }
  });

  test("budgets that nothing keeps leave an empty front", async () => {
    const { results } = await resultsFrom({ budgets: { ...budgets, decodeMs: 0.001 }, measurements: 6 });
    expect(results.fronts).toEqual([[], []]);
    expect(results.points.every(({ sites }) => sites.every(({ exceeded }) => exceeded.includes("max-decode-ms")))).toBe(true);
  });
});
