import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Constraint, masked } from "../../runtime/constraint.ts";
import { fakeModel, refusal } from "./support.ts";

function maskOf(tokens: readonly number[], size: number): Uint32Array {
  const mask = new Uint32Array(Math.ceil(size / 32));
  for (const token of tokens) mask[token >> 5] = (mask[token >> 5] ?? 0) | (1 << (token & 31));
  return mask;
}

describe("masked logits", () => {
  test("keep what the mask allows, and have -Infinity for the rest", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 100 }),
        fc.array(fc.nat(99), { minLength: 1 }),
        (values, picks) => {
          const allowed = new Set(picks.map((pick) => pick % values.length));
          const logits = Float32Array.from(values);
          const expected = logits.map((logit, token) => (allowed.has(token) ? logit : -Infinity));
          expect(masked(logits, maskOf([...allowed], values.length))).toEqual(expected);
          expect([...logits]).toEqual([...Float32Array.from(values)]);
        },
      ),
    );
  });

  test("are refused where nothing is left, bits behind the vocabulary included", async () => {
    const logits = new Float32Array(5);
    expect(await refusal(() => masked(logits, maskOf([], 5)))).toMatchObject({ code: "run/input" });
    expect(await refusal(() => masked(logits, maskOf([5, 31], 32)))).toMatchObject({ code: "run/input" });
    expect(masked(logits, maskOf([4, 5], 5))).toEqual(Float32Array.of(-Infinity, -Infinity, -Infinity, -Infinity, 0));
  });
});

describe("a generation under a constraint", () => {
  /** Counts down from 20 by one or two. */
  const countdown: Constraint = (generated) => {
    const last = generated.at(-1) ?? 21;
    return maskOf([last - 1, last - 2], 32);
  };

  test.each([
    ["greedy", { temperature: 0 }],
    ["sampled", { temperature: 5, seed: 3 }],
    ["all filters", { temperature: 1, topK: 3, topP: 0.5, minP: 0.2, repetitionPenalty: 1.2, seed: 1 }],
    ["biased", { temperature: 0, logitBias: { 5: 100 } }],
    ["jacobi", { temperature: 0, decode: "jacobi" as const }],
    ["lookup, sampled", { temperature: 2, seed: 4, decode: "lookup" as const }],
  ])("obeys it: %s", async (_, options) => {
    const { model } = fakeModel();
    const { tokens } = await model.createSession().complete([1, 2, 3], { ...options, maxTokens: 8, constrain: countdown });
    expect(tokens).toHaveLength(8);
    for (const [i, token] of tokens.entries()) expect((tokens[i - 1] ?? 21) - token, tokens.join()).toBeOneOf([1, 2]);
  });

  test("shows the mask to a sampler of the caller's", async () => {
    const { model } = fakeModel();
    const seen: number[] = [];
    const sample = (logits: Float32Array): number => {
      seen.push(logits.filter((logit) => logit > -Infinity).length);
      return logits.findIndex((logit) => logit > -Infinity);
    };
    const { tokens } = await model.createSession().complete([1], { sample, maxTokens: 3, constrain: countdown });
    expect(tokens).toEqual([19, 17, 15]);
    expect(seen).toEqual([2, 2, 2]);
  });

  test("changes nothing where it allows all", async () => {
    const run = async (constrain?: Constraint): Promise<readonly number[]> => {
      const { model } = fakeModel();
      return (await model.createSession().complete([4, 5], { temperature: 1, seed: 2, maxTokens: 9, constrain })).tokens;
    };
    const free = await run();
    expect(await run(() => null)).toEqual(free);
    expect(await run(() => new Uint32Array([2 ** 32 - 1]))).toEqual(free);
  });

  test("ends in an error where nothing is allowed; the session stays usable", async () => {
    const { model } = fakeModel();
    const session = model.createSession();
    const refused = await refusal(() => session.complete([1], { maxTokens: 3, constrain: () => new Uint32Array(1) }));
    expect(refused).toMatchObject({ code: "run/input" });
    expect((await session.complete([2], { maxTokens: 2 })).tokens).toHaveLength(2);
  });
});
