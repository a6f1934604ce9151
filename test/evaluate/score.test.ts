/** Perplexity, divergence and agreement against figures worked out by hand, and how a text is cut into windows. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { distributionOf, divergence, logProbability } from "../../compiler/evaluate/distribution.ts";
import type { LogitSource } from "../../compiler/evaluate/logit-source.ts";
import { score } from "../../compiler/evaluate/score.ts";
import { windowsOf } from "../../compiler/evaluate/windows.ts";

/** Logits of these probabilities: any constant may be added to their logarithms. */
function logitsOf(probabilities: readonly number[], constant = 0): Float32Array {
  return Float32Array.from(probabilities, (probability) => Math.log(probability) + constant);
}

/** Binary32 logarithms of the probabilities leave so much of them. */
const digits = 6;

describe("a distribution", () => {
  test.each([0, 80, -300])("has the probabilities of its logits, shifted by %d", (constant) => {
    const distribution = distributionOf(logitsOf([0.125, 0.5, 0.25, 0.125], constant));
    for (const [token, probability] of [0.125, 0.5, 0.25, 0.125].entries()) {
      expect(Math.exp(logProbability(distribution, token))).toBeCloseTo(probability, constant === 0 ? digits : 4);
    }
  });

  test("does not overflow, however far apart the logits", () => {
    const distribution = distributionOf(Float32Array.of(3e38, -3e38, 0));
    expect(logProbability(distribution, 0)).toBe(0);
    expect(logProbability(distribution, 1)).toBeLessThan(-5e38);
  });

  test("has the lowest of its likeliest tokens on top", () => {
    expect(distributionOf(Float32Array.of(1, 3, 2, 3)).top).toBe(1);
    expect(distributionOf(Float32Array.of(-5, -5)).top).toBe(0);
  });

  test("is NaN where a logit is, and outside the vocabulary", () => {
    expect(logProbability(distributionOf(Float32Array.of(1, NaN)), 0)).toBeNaN();
    expect(logProbability(distributionOf(Float32Array.of(1, 2)), 2)).toBeNaN();
  });
});

describe("divergence", () => {
  test("is 1/2 ln(4/3) from halves to a quarter and three", () => {
    const [halves, quarters] = [distributionOf(logitsOf([0.5, 0.5])), distributionOf(logitsOf([0.25, 0.75]))];
    expect(divergence(halves, quarters)).toBeCloseTo(0.5 * Math.log(4 / 3), digits);
    expect(divergence(quarters, halves)).toBeCloseTo(0.25 * Math.log(0.5) + 0.75 * Math.log(1.5), digits);
  });

  test("is exactly 0 to itself, and never less than rounding", () => {
    const logits = fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(logits, logits, (a, b) => {
        const [first, second] = [distributionOf(Float32Array.from(a)), distributionOf(Float32Array.from(b))];
        expect(divergence(first, first)).toBe(0);
        expect(divergence(first, second)).toBeGreaterThan(-1e-12);
      }),
    );
  });
});

describe("windows", () => {
  test("begin with BOS and hold every token once", () => {
    expect(windowsOf([10, 11, 12, 13, 14], 1, 3)).toEqual([
      [1, 10, 11],
      [1, 12, 13],
      [1, 14],
    ]);
  });

  test("of a model without BOS begin with the text, and one token alone is none", () => {
    expect(windowsOf([10, 11, 12, 13, 14], null, 3)).toEqual([
      [10, 11, 12],
      [13, 14],
    ]);
    expect(windowsOf([10, 11, 12, 13], null, 3)).toEqual([[10, 11, 12]]);
  });

  test("are none for no tokens", () => {
    expect(windowsOf([], 1, 3)).toEqual([]);
  });
});

/** Gives each position of each window the next of `rows`, and remembers what it read. */
function scripted(rows: readonly Float32Array[]): LogitSource & { readonly reads: (readonly number[])[] } {
  const [left, reads]: [Float32Array[], (readonly number[])[]] = [[...rows], []];
  return {
    vocabulary: rows[0]?.length ?? 0,
    context: 8,
    reads,
    *logits(tokens) {
      reads.push(tokens);
      for (const [i] of tokens.entries()) yield left.shift() ?? Float32Array.of(i);
    },
  };
}

describe("score", () => {
  const windows = [
    [0, 1, 2],
    [0, 2],
  ];
  const rows = [logitsOf([0.25, 0.5, 0.25]), logitsOf([0.5, 0.25, 0.25]), logitsOf([0.75, 0.125, 0.125])];

  test("is the perplexity of each window's tokens but the first, and reads all but the last", () => {
    const source = scripted(rows);
    const { tokens, perplexity, kl, top1 } = score(windows, source, null);
    expect(tokens).toBe(3);
    // The predicted tokens 1, 2, 2 have the probabilities 1/2, 1/4 and 1/8, whose geometric mean is 1/4.
    expect(perplexity).toBeCloseTo(4, digits);
    expect([kl, top1]).toEqual([null, null]);
    expect(source.reads).toEqual([[0, 1], [0]]);
  });

  test("of equal probabilities is the vocabulary's size", () => {
    const flat = windows.flat().map(() => logitsOf([1, 1, 1, 1, 1]));
    expect(score(windows, scripted(flat), null).perplexity).toBeCloseTo(5, 12);
  });

  test("against itself is 0 and 1", () => {
    expect(score(windows, scripted(rows), scripted(rows))).toMatchObject({ kl: 0, top1: 1 });
  });

  test("is the mean divergence from the reference, and the share of equal top tokens", () => {
    const others = [logitsOf([0.25, 0.5, 0.25]), logitsOf([0.125, 0.75, 0.125]), logitsOf([0.75, 0.125, 0.125])];
    const { kl, top1 } = score(windows, scripted(rows), scripted(others));
    // One of three positions differs: KL([1/8 3/4 1/8] || [1/2 1/4 1/4]) = 1/8 ln(1/4) + 3/4 ln 3 + 1/8 ln(1/2).
    expect(kl).toBeCloseTo((0.75 * Math.log(3) - 0.375 * Math.log(2)) / 3, digits);
    expect(top1).toBe(2 / 3);
  });

  test("counts predictions as they are made", () => {
    const seen: number[] = [];
    score(windows, scripted(rows), null, (done) => seen.push(done));
    expect(seen).toEqual([1, 2, 3]);
  });

  test("refuses another vocabulary, and logits that are not finite", () => {
    expect(() => score(windows, scripted(rows), scripted([logitsOf([0.5, 0.5])]))).toThrow(/vocabulary of 2, the artefact one of 3/);
    const broken = rows.map((row) => row.map((logit, token) => (token === 0 ? NaN : logit)));
    expect(() => score(windows, scripted(broken), null)).toThrow(/not finite/);
    expect(() => score(windows, scripted(rows), scripted(broken))).toThrow(/not finite/);
  });
});
