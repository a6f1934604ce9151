/** Dominance and ranks, against their definitions; and the fit whose weights are never negative. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fitNonNegative } from "../../compiler/explore/non-negative-fit.ts";
import { compareRanked, dominates, frontOf, rankAll, type Judged } from "../../compiler/explore/pareto.ts";
import { farthest } from "../../compiler/explore/spread.ts";

const judged: fc.Arbitrary<Judged> = fc.record({
  objectives: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 3, maxLength: 3 }),
  violation: fc.constantFrom(0, 0, 0, 1, 2),
});
const points = fc.array(judged, { maxLength: 24 });

describe("dominance", () => {
  test("is a strict partial order", () => {
    fc.assert(
      fc.property(judged, judged, judged, (a, b, c) => {
        expect(dominates(a, a)).toBe(false);
        expect(dominates(a, b) && dominates(b, a)).toBe(false);
        if (dominates(a, b) && dominates(b, c)) expect(dominates(a, c)).toBe(true);
      }),
    );
  });

  test("puts keeping constraints before all objectives", () => {
    fc.assert(
      fc.property(judged, judged, (a, b) => {
        if (a.violation < b.violation) expect(dominates(a, b)).toBe(true);
      }),
    );
  });

  test("a front's points do not dominate each other, and each other point is dominated by one of them", () => {
    fc.assert(
      fc.property(points, (all) => {
        const front = frontOf(all);
        for (const point of all) expect(front.includes(point)).toBe(!front.some((other) => dominates(other, point)));
      }),
    );
  });
});

describe("ranks", () => {
  test("are how often the front must be taken away before a point is on it", () => {
    fc.assert(
      fc.property(points, (all) => {
        const ranked = rankAll(all);
        expect(ranked).toHaveLength(all.length);
        let left = all;
        for (let rank = 0; left.length > 0; rank++) {
          const front = frontOf(left);
          const ofRank = ranked.filter((each) => each.rank === rank).map(({ point }) => point);
          expect(new Set(ofRank)).toEqual(new Set(front));
          left = left.filter((point) => !front.includes(point));
        }
      }),
    );
  });

  test("sort by rank, then by room; the ends of each front have most of it", () => {
    fc.assert(
      fc.property(points, (all) => {
        const sorted = rankAll(all).toSorted(compareRanked);
        sorted.slice(1).forEach((each, i) => {
          const before = sorted[i] ?? each;
          expect(before.rank < each.rank || (before.rank === each.rank && before.crowding >= each.crowding)).toBe(true);
        });
        const best = Math.min(...frontOf(all).map(({ objectives }) => objectives[0] ?? 0));
        const ends = sorted.filter(({ rank, crowding, point }) => rank === 0 && crowding === Infinity && point.objectives[0] === best);
        expect(ends.length > 0).toBe(all.length > 0);
      }),
    );
  });
});

test("points that lie far apart are chosen one by one, each once", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 20 });
  const distance = (a: number, b: number): number => Math.abs(a - b);
  fc.assert(
    fc.property(numbers, numbers, fc.nat(25), (all, known, count) => {
      const chosen = farthest(all, (x) => x, known, distance, count);
      expect(new Set(chosen).size).toBe(Math.min(count, all.length));
      const gap = (x: number): number => Math.min(...known.map((other) => distance(x, other)));
      if (count > 0) expect(gap(chosen[0] ?? NaN)).toBe(Math.max(...all.map(gap)));
    }),
  );
});

describe("a fit without negative weights", () => {
  const weights = fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 3, maxLength: 3 });
  const features = fc.array(fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 3, maxLength: 3 }), { maxLength: 20 });
  const fixed = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
    [1, 1, 1],
  ];

  test("finds the weights that data were made with, whatever the prior", () => {
    fc.assert(
      fc.property(features, weights, weights, (drawn, known, prior) => {
        const rows = [...fixed, ...drawn].map((row) => ({
          features: row,
          value: row.reduce((sum, x, i) => sum + x * (known[i] ?? NaN), 0),
        }));
        const observations = rows.filter(({ value }) => value > 0.01);
        const found = fitNonNegative(
          observations,
          prior.map((x) => x + 0.1),
          1e-9,
        );
        for (const observation of observations) {
          const predicted = observation.features.reduce((sum, x, i) => sum + x * (found[i] ?? NaN), 0);
          expect(predicted / observation.value).toBeCloseTo(1, 2);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("is the prior where nothing was observed, and 0 rather than less", () => {
    expect(fitNonNegative([], [2, 3], 0.1)).toEqual([2, 3]);
    const falling = [1, 2, 3, 4].map((x) => ({ features: [1, x], value: 10 - x }));
    expect(fitNonNegative(falling, [1, 1], 1e-6)[1]).toBe(0);
  });
});
