/** Points of fronts that are measured again: which count, and when the whole holds. No real device is asked. */
import { describe, expect, test } from "vitest";
import { describeAgain, measureAgain } from "../../compiler/explore/again.ts";
import type { BySite, Candidate, Laboratory, Measured, Refused } from "../../compiler/explore/types.ts";
import { fakeSites } from "./fake-laboratory.ts";
import { sampleMeasured, sampleResults } from "./sample-results.ts";

/** A device on which every candidate has the same figures, and what it was asked for. */
function laboratory(figures: BySite<Measured | Refused>, sites = fakeSites): Laboratory & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    sites,
    plan: () => Promise.resolve([]),
    measure: (candidates: readonly Candidate[]) => {
      asked.push(...candidates.map(({ id }) => id));
      return Promise.resolve(candidates.map(() => figures));
    },
    close: () => Promise.resolve(),
  };
}

describe("measuring again", () => {
  test("asks for the candidates of the fronts once each, and compares each at its own sites", async () => {
    const device = laboratory([sampleMeasured(2.9), sampleMeasured(0.1)]);
    const again = await measureAgain(sampleResults, device);
    expect(device.asked).toEqual(["aaaaaaaa", "bbbbbbbb"]);
    expect(again.points.map(({ id, target }) => `${id} ${target}`)).toEqual(["bbbbbbbb wasm-simd", "aaaaaaaa wasm-simd", "aaaaaaaa c-x86"]);
    expect(again.points.map(({ before }) => before.decodeMs)).toEqual([2, 1.25, 0.5]);
    // 2.9 ms is beyond the margin and within the budget.
    expect(again).toMatchObject({ keeps: true, changed: [] });
    expect(describeAgain(again)).toMatch(/bbbbbbbb +2\.000 +2\.900 .* kept\n/);
    expect(describeAgain(again)).toContain("3 points of the fronts, built and measured again: every point keeps its budgets");
  });

  test("tells which budget a point breaks", async () => {
    const again = await measureAgain(sampleResults, laboratory([sampleMeasured(3.01), sampleMeasured(0.1)]));
    expect(again.points.map(({ exceeded }) => exceeded)).toEqual([["max-decode-ms"], ["max-decode-ms"], []]);
    expect(again.keeps).toBe(false);
    const heavy = await measureAgain(sampleResults, laboratory([{ ...sampleMeasured(1), memoryBytes: 60e6 + 1 }, sampleMeasured(1)]));
    expect(describeAgain(heavy)).toContain("broken: max-memory");
  });

  test("a point that cannot be measured does not keep its budgets", async () => {
    const again = await measureAgain(sampleResults, laboratory([sampleMeasured(1), { refused: "no compiler" }]));
    expect(again.keeps).toBe(false);
    expect(describeAgain(again)).toMatch(/no compiler\n[^]*not every point keeps/);
  });

  test("says where the machine is not the one that the search measured on", async () => {
    const others = fakeSites.map((site) => (site.target === "c-x86" ? { ...site, cpu: "another" } : site));
    const again = await measureAgain(sampleResults, laboratory([sampleMeasured(1), sampleMeasured(1)], others));
    expect(again.changed).toEqual([expect.stringMatching(/^c-x86: .* none, threads 1; this is .* another, threads 1$/)]);
    expect(describeAgain(again)).toContain("this is");
  });

  test("an empty front keeps everything", async () => {
    expect(await measureAgain({ ...sampleResults, fronts: [[], []] }, laboratory([]))).toMatchObject({ keeps: true, points: [] });
  });
});
