/**
 * Jacobi and look-up decoding on a model without a network: the tokens of one at a time, in fewer forward passes where the text repeats itself, and
 * a session that is none the worse for guesses that were wrong.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Decode, GenerateOptions, Session } from "../../runtime/index.ts";
import { argmax } from "../../runtime/sampler.ts";
import { NGrams } from "../../runtime/decode/n-grams.ts";
import { fakeModel, refusal, type FakeShape, type Script } from "./support.ts";

const shape: FakeShape = { context: 120, prefillChunk: 12, logitRows: 8, rewind: 9, eos: [31] };
const guessing: readonly Decode[] = ["jacobi", "lookup"];

/** Repeats a phrase of seven tokens, but says something else now and then. */
const refrain: Script = (history) => (history.length % 23 === 0 ? 29 : ([3, 1, 4, 1, 5, 9, 2][history.length % 7] ?? 0));

/** What is left after a generation: what it said, the session's tokens, and the logits after one more. */
async function outcome(session: Session, prompt: readonly number[], options: GenerateOptions) {
  const { tokens, stopReason, stats } = await session.complete(prompt, options);
  const logits: number[] = [];
  for await (const row of session.logits([7])) logits.push(...row);
  return { tokens, stopReason, all: session.tokens, logits, passes: stats.forwardPasses };
}

const generation = fc.record({
  prompt: fc.array(fc.nat(30), { minLength: 1, maxLength: 30 }),
  maxTokens: fc.integer({ min: 1, max: 60 }),
  window: fc.integer({ min: 1, max: 9 }),
  temperature: fc.constantFrom(0, 0.8),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  seed: fc.nat(1000),
  repeats: fc.boolean(),
});

describe.each(guessing)("%s", (decode) => {
  test("any generation is what one token at a time gives, and so is the session after it", async () => {
    await fc.assert(
      fc.asyncProperty(generation, async ({ prompt, repeats, ...options }) => {
        const script = repeats ? refrain : undefined;
        const [{ passes: single, ...expected }, { passes, ...found }] = [
          await outcome(fakeModel(shape, script).model.createSession(), prompt, options),
          await outcome(fakeModel(shape, script).model.createSession(), prompt, { ...options, decode }),
        ];
        expect(found).toEqual(expected);
        expect(passes).toBeLessThanOrEqual(single);
      }),
    );
  });

  test("a text that repeats itself takes fewer forward passes", async () => {
    const run = (options: GenerateOptions) =>
      fakeModel(shape, refrain)
        .model.createSession()
        .complete([8, 8], { maxTokens: 100, ignoreEos: true, ...options });
    const [greedy, guessed] = [await run({}), await run({ decode })];
    expect(guessed.tokens).toEqual(greedy.tokens);
    expect(greedy.stats.forwardPasses).toBe(100);
    expect(guessed.stats.forwardPasses).toBeLessThan(40);
  });

  test("masks, biases and log-probabilities are those of one token at a time", async () => {
    const options: GenerateOptions = {
      maxTokens: 40,
      logitBias: { 3: -2, 29: -Infinity },
      constrain: (generated) => Uint32Array.of(generated.length % 2 === 0 ? 0x7fff_ffff : 0x2aaa_aaaa),
      logprobs: 3,
    };
    const run = async (more: GenerateOptions) => {
      const parts = [];
      for await (const part of fakeModel(shape, refrain)
        .model.createSession()
        .generate([5, 6], { ...options, ...more }))
        parts.push(part);
      return parts;
    };
    const expected = await run({});
    expect(await run({ decode })).toEqual(expected);
    expect(expected.every(({ token }, i) => token !== 29 && (i % 2 === 0 || token % 2 === 1))).toBe(true);
    expect(expected.map(({ logprob }) => logprob?.top.length)).toEqual(Array.from({ length: 40 }, () => 3));
  });

  test("an abandoned generation keeps what was shown and nothing more", async () => {
    const session = fakeModel(shape, refrain).model.createSession();
    let shown = 0;
    for await (const part of session.generate([8, 8], { decode, ignoreEos: true })) if (part.token >= 0 && ++shown === 33) break;
    expect(session.position).toBe(2 + 33);
    const rest = await session.complete([], { decode: "greedy", maxTokens: 20, ignoreEos: true });
    const whole = await fakeModel(shape, refrain).model.createSession().complete([8, 8], { maxTokens: 53, ignoreEos: true });
    expect(session.tokens).toEqual([8, 8, ...whole.tokens]);
    expect(rest.tokens).toEqual(whole.tokens.slice(33));
  });

  test("an abort is heard after the token that was shown last", async () => {
    const session = fakeModel(shape, refrain).model.createSession();
    const stopping = new AbortController();
    let shown = 0;
    const { code } = await refusal(async () => {
      for await (const part of session.generate([8, 8], { decode, ignoreEos: true, signal: stopping.signal }))
        if (part.token >= 0 && ++shown === 33) stopping.abort();
    });
    expect([code, shown, session.position]).toEqual(["run/aborted", 33, 2 + 33]);
  });

  test("a sampler of one's own is asked for each token once, in order, and about no guess that was wrong", async () => {
    const generate = async (way: Decode) => {
      const lengths: number[] = [];
      const sample = (logits: Float32Array, tokens: readonly number[]): number => {
        lengths.push(tokens.length);
        if (tokens.some((token, i) => i > 2 && token !== refrain(tokens.slice(0, i)))) throw new Error("a wrong past");
        return argmax(logits);
      };
      const { tokens } = await fakeModel(shape, refrain)
        .model.createSession()
        .complete([8, 8, 8], { decode: way, sample, maxTokens: 60, ignoreEos: true });
      return { tokens, lengths };
    };
    expect(await generate(decode)).toEqual(await generate("greedy"));
  });

  test("failures of a constraint leave the session as it was", async () => {
    const session = fakeModel(shape, refrain).model.createSession();
    const constrain = (generated: readonly number[]): Uint32Array => Uint32Array.of(generated.length < 17 ? -1 : 0);
    const { code } = await refusal(() => session.complete([8, 8], { decode, constrain, ignoreEos: true }));
    expect(code).toBe("run/input");
    expect(session.position).toBe(2 + 17);
    expect((await outcome(session, [], { maxTokens: 5, ignoreEos: true })).tokens.length).toBe(5);
  });
});

test("a window is a whole number from 1 to what a rewind takes", async () => {
  for (const window of [0, -1, 1.5, 10, NaN])
    expect((await refusal(() => fakeModel(shape).model.createSession().complete([1], { decode: "jacobi", window }))).code).toBe(
      "run/input",
    );
});

describe("n-grams", () => {
  test("the longest known end goes before shorter ones, the latest before earlier ones", () => {
    const grams = new NGrams();
    grams.learn([1, 2, 3, 4, 9, 2, 3, 5, 8, 3, 6]);
    expect(grams.follow([1, 2, 3], 1)).toEqual([4]);
    expect(grams.follow([7, 2, 3], 1)).toEqual([5]);
    expect(grams.follow([7, 7, 3], 1)).toEqual([6]);
    expect(grams.follow([7, 7, 3], 1, 2)).toEqual([]);
    expect(grams.follow([7, 7, 7], 4)).toEqual([]);
  });

  test("a guess goes on from itself, to a token that nothing is known to follow", () => {
    const grams = new NGrams();
    grams.learn([1, 2, 1, 2]);
    expect(grams.follow([5, 1], 6)).toEqual([2, 1, 2, 1, 2, 1]);
    grams.learn([1, 2, 7]);
    expect(grams.follow([5, 1], 6)).toEqual([2, 7]);
  });
});
