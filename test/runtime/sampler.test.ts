import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exp } from "../../runtime/exp.ts";
import { uniform } from "../../runtime/random.ts";
import { type SamplingSettings, argmax, createSampler, takesLikeliest } from "../../runtime/sampler.ts";
import { refusal } from "./support.ts";

const off: SamplingSettings = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

/** How often each id comes up over many positions. */
function counts(logits: readonly number[], settings: Partial<SamplingSettings>, draws = 4000): number[] {
  const sample = createSampler({ ...off, ...settings });
  const result = logits.map(() => 0);
  const tokens: number[] = [];
  for (let i = 0; i < draws; i++) {
    const id = sample(Float32Array.from(logits), tokens);
    result[id] = (result[id] ?? 0) + 1;
    tokens.push(0);
  }
  return result;
}

/** Which ids come up at all. */
function support(logits: readonly number[], settings: Partial<SamplingSettings>): number[] {
  return counts(logits, settings).flatMap((count, id) => (count > 0 ? [id] : []));
}

const ln = (p: number): number => Math.log(p);

describe("greedy", () => {
  test("takes the largest logit, ties to the lower id", () => {
    expect(argmax(Float32Array.of(-3, 2, 5, 5, 1))).toBe(2);
    expect(createSampler({ ...off, temperature: 0 })(Float32Array.of(-3, 2, 5, 5, 1), [])).toBe(2);
  });

  test("a temperature that vanishes in binary32 is greedy too", () => {
    expect(support([1, 1.001, 0], { temperature: 1e-50 })).toEqual([1]);
  });

  test("refuses logits that are not numbers", async () => {
    expect(await refusal(() => argmax(Float32Array.of(NaN, NaN)))).toMatchObject({ code: "run/input" });
  });
});

describe("filters", () => {
  const logits = [ln(0.1), ln(0.4), ln(0.05), ln(0.3), ln(0.15)];

  test("temperature 1 draws by probability", () => {
    const expected = [0.1, 0.4, 0.05, 0.3, 0.15];
    for (const [id, count] of counts(logits, {}, 20_000).entries())
      expect(Math.abs(count / 20_000 - (expected[id] ?? 0))).toBeLessThan(0.012);
  });

  test("temperature 0.5 squares the odds", () => {
    const [, b = 0, , d = 0] = counts(logits, { temperature: 0.5 }, 20_000);
    expect(b / d).toBeGreaterThan(1.6);
    expect(b / d).toBeLessThan(1.97);
  });

  test("top-k keeps the k best, ties to the lower id", () => {
    expect(support(logits, { topK: 2 })).toEqual([1, 3]);
    expect(support([1, 2, 2, 2, 0], { topK: 2 })).toEqual([1, 2]);
    expect(support(logits, { topK: 99 })).toEqual([0, 1, 2, 3, 4]);
  });

  test("top-p keeps the shortest prefix with that much probability", () => {
    expect(support(logits, { topP: 0.39 })).toEqual([1]);
    expect(support(logits, { topP: 0.6 })).toEqual([1, 3]);
    expect(support(logits, { topP: 0.8 })).toEqual([1, 3, 4]);
    expect(support(logits, { topP: 0 })).toEqual([1]);
  });

  test("top-p counts the probability among what top-k left", () => {
    expect(support(logits, { topK: 2, topP: 0.56 })).toEqual([1]);
    expect(support(logits, { topK: 2, topP: 0.58 })).toEqual([1, 3]);
  });

  test("min-p keeps what is at least that share of the best", () => {
    expect(support(logits, { minP: 0.3 })).toEqual([1, 3, 4]);
    expect(support(logits, { minP: 0.3, topK: 2 })).toEqual([1, 3]);
    expect(support(logits, { minP: 1 })).toEqual([1]);
    expect(support([2, 0, 2], { minP: 1 })).toEqual([0, 2]);
  });

  test("repetition penalty divides positive and multiplies negative logits of past tokens, once each", () => {
    const sample = createSampler({ ...off, temperature: 0, repetitionPenalty: 2 });
    expect(sample(Float32Array.of(1.9, 3, -1), [1, 1, 1])).toBe(0);
    expect(sample(Float32Array.of(1.4, 3, -1), [1, 1, 1])).toBe(1);
    expect(sample(Float32Array.of(-1, -1.5, -9), [0])).toBe(1);
    const logits32 = Float32Array.of(3, 1);
    sample(logits32, [0]);
    expect([...logits32]).toEqual([3, 1]);
  });
});

describe("bias", () => {
  test("is added before anything else, in binary32, at temperature 0 too", () => {
    const sample = createSampler({ ...off, temperature: 0, repetitionPenalty: 2, logitBias: { 0: 4, 2: -Infinity } });
    // 0: (-3 + 4) / 2, 1: 0.6, which is above it.
    expect(sample(Float32Array.of(-3, 0.6, 9), [0])).toBe(1);
    expect(sample(Float32Array.of(-3, 0.6, 9), [1])).toBe(0);
    const logits = Float32Array.of(2 ** 24, 2 ** 24);
    expect(createSampler({ ...off, temperature: 0, logitBias: { 1: 1 } })(logits, [])).toBe(0);
    expect([...logits]).toEqual([2 ** 24, 2 ** 24]);
  });

  test("-Infinity forbids a token whatever the filters", () => {
    expect(support([3, 2, 1], { logitBias: { 0: -Infinity }, topP: 0.5 })).toEqual([1]);
    expect(support([3, 2, 1], { logitBias: { 0: -Infinity, 2: -Infinity } })).toEqual([1]);
  });

  test("makes the module's own choice useless, unless there is none", () => {
    const greedy = { ...off, temperature: 0 };
    expect(takesLikeliest({ ...greedy, logitBias: {} })).toBe(true);
    expect(takesLikeliest({ ...greedy, logitBias: { 3: 0 } })).toBe(false);
  });

  test.each([
    [{ "-1": 1 }, "-1 is not a token id"],
    [{ a: 1 }, "a is not a token id"],
    [{ "01": 1 }, "01 is not a token id"],
    [{ 1: NaN }, "NaN is not a bias"],
    [{ 1: Infinity }, "Infinity is not a bias"],
    [{ 1: 1e39 }, "1e+39 is not a bias"],
    [{ 3: 1 }, "token 3 is none of the vocabulary's 3"],
    [{ 0: -Infinity, 1: -Infinity, 2: -Infinity }, "leaves no token"],
  ])("%j is refused", async (logitBias, fact) => {
    const { code, message } = await refusal(() => createSampler({ ...off, logitBias })(Float32Array.of(1, 2, 3), []));
    expect(code).toBe("run/input");
    expect(message).toContain(`logitBias: ${fact}`);
  });
});

test("top-k agrees with sorting everything, ties and signed zeros included", () => {
  const value = fc.oneof(fc.float({ noNaN: true, min: -50, max: 50 }), fc.constantFrom(0, -0, 1, 1, 2));
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 60 }), fc.nat(), (values, topK, seed) => {
      const logits = Float32Array.from(values);
      const order = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b).slice(0, topK);
      const masked = logits.map((logit, id) => (order.includes(id) ? logit : -Infinity));
      const all = createSampler({ ...off, seed, topK: logits.length });
      expect(createSampler({ ...off, seed, topK })(logits, [1])).toBe(all(masked, [1]));
    }),
  );
});

/** The order of Hugging Face's generate, one step after the other over a whole row of scores, in binary32. */
function slowSample(logits: readonly number[], tokens: readonly number[], settings: SamplingSettings): number {
  const f = Math.fround;
  const { temperature, topK, topP, minP, repetitionPenalty, seed, logitBias = {} } = settings;
  const wanted = logits.map((logit, id) => f(f(logit) + f(logitBias[id] ?? 0)));
  const scores = wanted.map((logit, id) => {
    if (repetitionPenalty === 1 || !tokens.includes(id)) return f(logit);
    return f(logit > 0 ? f(logit) / f(repetitionPenalty) : f(logit) * f(repetitionPenalty));
  });
  const highest = Math.max(...scores);
  if (f(temperature) === 0) return scores.indexOf(highest);
  const weights = scores.map((score) => exp(f(f(score - highest) / f(temperature))));
  const total = (ids: readonly number[]): number => ids.reduce((sum, id) => f(sum + (weights[id] ?? 0)), 0);
  const ranked = [...scores.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  let kept = topK === 0 ? ranked : ranked.slice(0, topK);
  if (topP < 1) {
    const enough = f(f(topP) * total(kept));
    // A candidate stays where those before it do not make up the share.
    kept = kept.filter((_, rank) => rank === 0 || total(kept.slice(0, rank)) < enough);
  }
  kept = kept.filter((id) => (weights[id] ?? 0) >= f(minP));
  if (topK === 0 && topP === 1) kept = kept.toSorted((a, b) => a - b);
  const target = f(uniform(seed, tokens.length) * total(kept));
  const drawn = kept.find((_, i) => total(kept.slice(0, i + 1)) > target);
  return drawn ?? kept.findLast((id) => (weights[id] ?? 0) > 0) ?? 0;
}

test("any settings together agree with the slow reference", () => {
  const logit = fc.oneof(fc.float({ noNaN: true, min: -20, max: 20 }), fc.constantFrom(-3, 0, 1, 1, 2));
  const bias = fc.oneof(fc.double({ min: -20, max: 20, noNaN: true }), fc.constantFrom(-Infinity, 0, 100));
  const settings = fc.record({
    temperature: fc.constantFrom(0, 0.1, 0.3, 1, 1.7, 50),
    topK: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 45 })),
    topP: fc.oneof(fc.constantFrom(1, 0.25, 0.5, 0.75), fc.double({ min: 0, max: 1, noNaN: true })),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    repetitionPenalty: fc.constantFrom(1, 1.05, 2, 0.8),
    seed: fc.nat(),
    logitBias: fc.oneof(fc.constant({}), fc.dictionary(fc.integer({ min: 1, max: 39 }).map(String), bias, { maxKeys: 5 })),
  });
  const history = fc.array(fc.nat(39), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), history, settings, (logits, tokens, chosen) => {
      const past = tokens.filter((token) => token < logits.length);
      const within = Object.fromEntries(Object.entries(chosen.logitBias).filter(([token]) => Number(token) < logits.length));
      const all = { ...chosen, logitBias: within };
      expect(createSampler(all)(Float32Array.from(logits), past)).toBe(slowSample(logits, past, all));
    }),
    { numRuns: 3000 },
  );
});

test("the same seed and position give the same token, whatever was sampled before", () => {
  const logits = Float32Array.from({ length: 500 }, (_, i) => Math.fround(Math.sin(i) * 3));
  const settings = { ...off, topK: 40, topP: 0.95, minP: 0.01, temperature: 0.8, seed: 9 };
  const history = Array.from({ length: 20 }, (_, i) => i);
  const forward = history.map((_, n) => createSampler(settings)(logits, history.slice(0, n)));
  const sample = createSampler(settings);
  const backward = history.map((_, n) => sample(logits, history.slice(0, 19 - n))).reverse();
  expect(backward).toEqual(forward);
  expect(new Set(forward).size).toBeGreaterThan(5);
  expect(history.map((_, n) => createSampler({ ...settings, seed: 10 })(logits, history.slice(0, n)))).not.toEqual(forward);
});

test("pinned samples: they must not change between versions or engines", () => {
  const logits = Float32Array.from({ length: 1000 }, (_, i) => Math.fround(((i * 7919) % 1000) / 150));
  const settings = [
    { ...off, seed: 5 },
    { ...off, seed: 5, topK: 50, topP: 0.9 },
    { ...off, seed: 5, temperature: 0.3, minP: 0.15, repetitionPenalty: 1.05 },
  ];
  const drawn = settings.map((one) => Array.from({ length: 6 }, (_, n) => createSampler(one)(logits, [3, 4, 5, 6, 7, 8].slice(0, n))));
  expect(drawn).toMatchInlineSnapshot(`
    [
      [
        125,
        818,
        722,
        397,
        594,
        470,
      ],
      [
        605,
        556,
        272,
        457,
        346,
        420,
      ],
      [
        136,
        840,
        729,
        408,
        605,
        482,
      ],
    ]
  `);
});

test.each([
  ["temperature", -1],
  ["temperature", NaN],
  ["topK", 1.5],
  ["topP", 1.1],
  ["minP", -0.1],
  ["repetitionPenalty", 0],
  ["seed", -1],
])("%s %d is refused by name", async (name, value) => {
  const { code, message } = await refusal(() => createSampler({ ...off, [name]: value }));
  expect(code).toBe("run/input");
  expect(message).toContain(name);
});
