import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LfmcError } from "../../runtime/errors.ts";
import { type Model, createModel } from "../../runtime/model.ts";
import { argmax } from "../../runtime/sampler.ts";
import type { GenerateOptions } from "../../runtime/generate-options.ts";
import type { Session } from "../../runtime/session.ts";
import { demoTokenizer, fakeEngine, fakeManifest, fakeModel, refusal } from "./support.ts";

const prompt = [3, 1, 4, 1, 5, 9, 2, 6];

async function tokensOf(session: Session, given: readonly number[], options: GenerateOptions): Promise<readonly number[]> {
  return (await session.complete(given, options)).tokens;
}

/** The logits after one more token: a fingerprint of the session's state. */
async function fingerprint(session: Session): Promise<number[]> {
  const all: number[] = [];
  for await (const logits of session.logits([7])) all.push(...logits);
  return all;
}

/** The same tokens in a session of their own. */
async function fresh(tokens: readonly number[]): Promise<Session> {
  const session = fakeModel().model.createSession();
  await session.prefill(tokens);
  return session;
}

describe("generate", () => {
  test("the chunk of the prefill changes nothing but the number of forward calls", async () => {
    const runs = await Promise.all(
      [1, 2, 3, 5, 64].map(async (prefillChunk) => {
        const { model, calls } = fakeModel();
        const { tokens, stats } = await model.createSession().complete(prompt, { maxTokens: 6, prefillChunk });
        expect(stats.forwardPasses).toBe(calls.length);
        return { tokens, rows: calls.map(({ rows }) => rows) };
      }),
    );
    for (const { tokens } of runs) expect(tokens).toEqual(runs[0]?.tokens);
    expect(runs.map(({ rows }) => rows.slice(0, -5))).toEqual([
      [1, 1, 1, 1, 1, 1, 1, 1],
      [2, 2, 2, 2],
      [3, 3, 2],
      [5, 3],
      [5, 3],
    ]);
  });

  test("logits are asked for once a token, and only where they are used", async () => {
    const { model, calls } = fakeModel();
    await model.createSession().complete(prompt, { maxTokens: 3 });
    expect(calls).toEqual([
      { rows: 5, logits: 0 },
      { rows: 3, logits: 1 },
      { rows: 1, logits: 1 },
      { rows: 1, logits: 1 },
    ]);
  });

  test("going on in a second call gives what one call gives", async () => {
    const whole = await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 8 });
    const session = fakeModel().model.createSession();
    const first = await tokensOf(session, prompt, { maxTokens: 3 });
    expect([...first, ...(await tokensOf(session, [], { maxTokens: 5 }))]).toEqual(whole);
    expect(session.tokens).toEqual([...prompt, ...whole]);
  });

  test("a prefilled prompt goes on with an empty one", async () => {
    const session = fakeModel().model.createSession();
    await session.prefill(prompt, { prefillChunk: 3 });
    expect(await tokensOf(session, [], { maxTokens: 4 })).toEqual(
      await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 4 }),
    );
  });

  test("a seed repeats a sampled generation, across chunks; without one the result tells it", async () => {
    const options = { maxTokens: 10, temperature: 1, topK: 20 };
    const sampled = await fakeModel().model.createSession().complete(prompt, options);
    const again = await fakeModel()
      .model.createSession()
      .complete(prompt, { ...options, seed: sampled.seed, prefillChunk: 1 });
    const other = await fakeModel()
      .model.createSession()
      .complete(prompt, { ...options, seed: sampled.seed + 1 });
    expect(again.tokens).toEqual(sampled.tokens);
    expect(other.tokens).not.toEqual(sampled.tokens);
  });

  test("what a call leaves out of the settings is the model's own default", async () => {
    const sampling = { temperature: 0.8, topK: 7, topP: 0.9, minP: 0.02, repetitionPenalty: 1.3 };
    const sampled = await tokensOf(fakeModel({ sampling }).model.createSession(), prompt, { maxTokens: 12, seed: 5 });
    expect(await tokensOf(fakeModel().model.createSession(), prompt, { ...sampling, maxTokens: 12, seed: 5 })).toEqual(sampled);
    for (const [key, value] of Object.entries({ temperature: 3, topK: 1, topP: 0.1, minP: 1, repetitionPenalty: 50 })) {
      const other = await tokensOf(fakeModel({ sampling }).model.createSession(), prompt, { maxTokens: 12, seed: 5, [key]: value });
      expect(other, key).not.toEqual(sampled);
    }
  });

  test("the repetition penalty is on the prompt's tokens and on generated ones", async () => {
    const tokens = await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 12, repetitionPenalty: 1e6 });
    expect(new Set([...prompt, ...tokens]).size).toBe(new Set(prompt).size + 12);
  });

  test("the model's own choice is taken where nothing else has a say, and nowhere else", async () => {
    const manifest = fakeManifest();
    const engine = fakeEngine(manifest);
    const stubborn = {
      ...engine,
      forward(rowCount: number, logitCount: number) {
        engine.forward(rowCount, logitCount);
        new Int32Array(engine.memory.buffer, manifest.memory.choices.offset, logitCount).fill(7);
      },
    };
    const model = createModel({ manifest, engine: stubborn, tokenizer: null });
    const generated = async (options: GenerateOptions): Promise<readonly number[]> => {
      const session = model.createSession();
      const tokens = await tokensOf(session, prompt, { maxTokens: 4, seed: 1, ...options });
      session.release();
      return tokens;
    };
    for (const options of [{}, { temperature: 1e-50, topK: 5, topP: 0.5, minP: 0.1 }])
      expect(await generated(options)).toEqual([7, 7, 7, 7]);
    for (const options of [{ temperature: 1 }, { repetitionPenalty: 1.1 }, { sample: argmax }])
      expect(await generated(options)).not.toEqual([7, 7, 7, 7]);
  });

  test("the caller may choose tokens", async () => {
    const tokens = await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 3, sample: (_, past) => past.length });
    expect(tokens).toEqual([8, 9, 10]);
  });

  test("interleaved sessions do not disturb each other", async () => {
    const { model } = fakeModel();
    const alone = await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 6 });
    const [a, b] = await Promise.all([
      tokensOf(model.createSession(), prompt, { maxTokens: 6 }),
      tokensOf(model.createSession(), [2, 2, ...prompt], { maxTokens: 6 }),
    ]);
    expect(a).toEqual(alone);
    expect(b).not.toEqual(alone);
  });
});

describe("stop reasons", () => {
  const scripted = (eos: readonly number[]): Model => fakeModel({ eos }, (history) => history.length + 2).model;

  test("length", async () => {
    expect(await scripted([]).createSession().complete(prompt, { maxTokens: 2 })).toMatchObject({ stopReason: "length", tokens: [10, 11] });
    expect(await scripted([]).createSession().complete(prompt, { maxTokens: 0 })).toMatchObject({ stopReason: "length", tokens: [] });
  });

  test("eos: the end token is given and kept, and can be ignored", async () => {
    const session = scripted([12, 30]).createSession();
    expect(await session.complete(prompt, { maxTokens: 9 })).toMatchObject({ stopReason: "eos", tokens: [10, 11, 12] });
    expect(session.tokens).toEqual([...prompt, 10, 11, 12]);
    expect(session.stopReason).toBe("eos");
    const ignoring = await scripted([12]).createSession().complete(prompt, { maxTokens: 4, ignoreEos: true });
    expect(ignoring).toMatchObject({ stopReason: "length", tokens: [10, 11, 12, 13] });
  });

  test("context: exactly as many tokens as fit", async () => {
    const session = fakeModel().model.createSession();
    const { stopReason, tokens } = await session.complete(prompt);
    expect({ stopReason, count: tokens.length, position: session.position }).toEqual({ stopReason: "context", count: 16, position: 24 });
    expect(await session.complete([])).toMatchObject({ stopReason: "context", tokens: [] });
    expect((await refusal(() => session.complete([1]))).code).toBe("run/context");
    expect(session.position).toBe(24);
  });
});

describe("text", () => {
  const tokenizer = demoTokenizer();
  const answer = tokenizer.encode(" said Emma 😀, “indeed”; and STOP here", { addBos: false });
  const start = tokenizer.encode("Yes,");
  const speaking = (): Session =>
    fakeModel(
      { vocabSize: 4096, context: 80, eos: [2] },
      (history) => answer[history.length - start.length] ?? 2,
      tokenizer,
    ).model.createSession();

  test("a text prompt gets BOS at the beginning only, and text streams in whole characters", async () => {
    const session = speaking();
    const parts: string[] = [];
    for await (const { text } of session.generate("Yes,")) {
      expect(text).not.toContain("\uFFFD");
      parts.push(text);
    }
    expect(parts.join("")).toBe(" said Emma 😀, “indeed”; and STOP here");
    expect(session.tokens).toEqual([...start, ...answer, 2]);
    await session.prefill(" Well");
    expect(session.tokens.slice(start.length + answer.length + 1)).toEqual(tokenizer.encode(" Well", { addBos: false }));
  });

  test("stop strings end the text across tokens and are not shown", async () => {
    expect(await speaking().complete("Yes,", { stop: "d STOP h" })).toMatchObject({
      text: " said Emma 😀, “indeed”; an",
      stopReason: "stop",
    });
    expect(await speaking().complete("Yes,", { stop: ["zzz", "😀"] })).toMatchObject({ text: " said Emma ", stopReason: "stop" });
  });

  test("what was held back for a stop string that did not come is shown at the end", async () => {
    expect((await speaking().complete("Yes,", { stop: "here and there" })).text).toBe(" said Emma 😀, “indeed”; and STOP here");
    const shortened = await speaking().complete("Yes,", { stop: "Emma was", maxTokens: 2 });
    expect(shortened.text).toBe(tokenizer.decode(answer.slice(0, 2)));
  });

  test("an unfinished character at the end is shown as U+FFFD", async () => {
    const emoji = answer.findIndex((_, i) => tokenizer.decode(answer.slice(0, i + 1)).endsWith("\uFFFD"));
    const { text } = await speaking().complete("Yes,", { maxTokens: emoji + 1 });
    expect(text).toBe(tokenizer.decode(answer.slice(0, emoji + 1)));
  });
});

describe("abort and misuse", () => {
  test("abort during decode: an error with the reason, and a session that goes on", async () => {
    const session = fakeModel().model.createSession();
    const controller = new AbortController();
    const shown: number[] = [];
    const aborted = refusal(async () => {
      for await (const { token } of session.generate(prompt, { signal: controller.signal })) {
        shown.push(token);
        if (shown.length === 3) controller.abort();
      }
    });
    expect((await aborted).code).toBe("run/aborted");
    expect(session.tokens).toEqual([...prompt, ...shown]);
    const rest = await tokensOf(session, [], { maxTokens: 4 });
    expect([...shown, ...rest]).toEqual(await tokensOf(fakeModel().model.createSession(), prompt, { maxTokens: 7 }));
  });

  test("abort during prefill is heard between chunks", async () => {
    const { model, calls } = fakeModel();
    const controller = new AbortController();
    setImmediate(() => {
      controller.abort();
    });
    const session = model.createSession();
    expect((await refusal(() => session.prefill(prompt, { prefillChunk: 1, signal: controller.signal }))).code).toBe("run/aborted");
    expect(calls.length).toBeLessThan(prompt.length);
    expect(await fingerprint(session)).toEqual(await fingerprint(await fresh(prompt)));
  });

  test("leaving the loop early frees the session", async () => {
    const session = fakeModel().model.createSession();
    for await (const part of session.generate(prompt)) {
      expect(session.tokens.at(-1)).toBe(part.token);
      break;
    }
    expect(session.position).toBe(prompt.length + 1);
    session.rewind(6);
    expect(session.tokens).toEqual(prompt.slice(0, 6));
  });

  test("a session in use refuses everything that would change it", async () => {
    const session = fakeModel().model.createSession();
    const parts = session.generate(prompt, { maxTokens: 3 });
    await parts.next();
    for (const use of [
      () => session.complete([1]),
      () => session.prefill([1]),
      () => {
        session.rewind(0);
      },
      () => session.save(),
      () => session.fork(),
    ]) {
      expect((await refusal(use)).code).toBe("run/busy");
    }
    await parts.return({
      stopReason: "length",
      seed: 0,
      stats: (await fakeModel().model.createSession().complete([1], { maxTokens: 0 })).stats,
    });
    session.reset();
    expect(session.position).toBe(0);
  });

  test.each<readonly [string, string, readonly number[] | string, GenerateOptions]>([
    ["an empty prompt", "run/input", [], {}],
    ["a text without a tokenizer", "run/input", "text", {}],
    ["a stop string without a tokenizer", "run/input", [1], { stop: "x" }],
    ["a token outside the vocabulary", "run/input", [1, 32], {}],
    ["a prompt longer than the context", "run/context", Array.from({ length: 25 }, () => 1), {}],
    ["maxTokens below 0", "run/input", [1], { maxTokens: -1 }],
    ["prefillChunk 0", "run/input", [1], { prefillChunk: 0 }],
    ["a negative temperature", "run/input", [1], { temperature: -1 }],
  ])("%s is refused and leaves the session empty", async (_, code, given, options) => {
    const session = fakeModel().model.createSession();
    expect((await refusal(() => session.complete(given, options))).code).toBe(code);
    expect(session.position).toBe(0);
  });

  test("slots: as many sessions as compiled, released ones are used again, clean", async () => {
    const { model } = fakeModel();
    const sessions = [model.createSession(), model.createSession(), model.createSession()];
    expect((await refusal(() => model.createSession())).code).toBe("run/sessions");
    await sessions[1]?.prefill(prompt);
    sessions[1]?.release();
    expect((await refusal(() => sessions[1]?.prefill([1]))).code).toBe("run/disposed");
    expect(await fingerprint(model.createSession())).toEqual(await fingerprint(await fresh([])));
  });

  test("a disposed model refuses", async () => {
    const { model } = fakeModel();
    const session = model.createSession();
    await model.dispose();
    expect((await refusal(() => session.complete(prompt))).code).toBe("run/disposed");
    expect((await refusal(() => model.createSession())).code).toBe("run/disposed");
    expect((await refusal(() => model.forward([]))).code).toBe("run/disposed");
  });
});

test("logits of every token, in any chunks, each its own array", async () => {
  const collect = async (chunk: number): Promise<Float32Array[]> => {
    const all: Float32Array[] = [];
    for await (const logits of fakeModel().model.createSession().logits(prompt, { prefillChunk: chunk })) all.push(logits);
    return all;
  };
  const single = await collect(1);
  expect(single.length).toBe(prompt.length);
  expect(single[0]).not.toEqual(single[1]);
  for (const chunk of [2, 3, 64]) expect(await collect(chunk)).toEqual(single);
});

describe("several sessions in shared calls", () => {
  test("each gets the logits that it would get alone, in as few calls as the rows take", async () => {
    const { model, calls } = fakeModel();
    const sessions = [model.createSession(), model.createSession(), model.createSession()];
    const turns = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10]].map((tokens, i) => ({ session: sessions[i] ?? model.createSession(), tokens }));
    const logits = await model.evaluate(turns);
    expect(calls.map(({ rows }) => rows)).toEqual([5, 5]);
    for (const [i, { tokens }] of turns.entries()) {
      const alone = await fresh(tokens.slice(0, -1));
      for await (const expected of alone.logits(tokens.slice(-1))) expect(logits[i]).toEqual(expected);
    }
    expect(sessions.map(({ position }) => position)).toEqual([7, 1, 2]);
    expect(await model.evaluate([])).toEqual([]);
    expect((await model.evaluate(turns.map(({ session }) => ({ session, tokens: [] })))).map(({ length }) => length)).toEqual([0, 0, 0]);
  });

  test("no more of them than may have logits end in one call", async () => {
    const { model, calls } = fakeModel({ logitRows: 1 });
    await model.evaluate([2, 3, 4].map((token) => ({ session: model.createSession(), tokens: [1, token] })));
    expect(calls).toEqual([
      { rows: 4, logits: 1 },
      { rows: 1, logits: 1 },
      { rows: 1, logits: 1 },
    ]);
  });

  test("refusals leave every session as it was; an abort is heard between calls", async () => {
    const { model } = fakeModel();
    const [a, b] = [model.createSession(), model.createSession()];
    const stranger = fakeModel().model.createSession();
    for (const [turns, code] of [
      [[a, a], "run/input"],
      [[a, stranger], "run/input"],
    ] as const)
      expect((await refusal(() => model.evaluate(turns.map((session) => ({ session, tokens: [1] }))))).code).toBe(code);
    const tooLong = { session: b, tokens: Array.from({ length: 25 }, () => 1) };
    expect((await refusal(() => model.evaluate([{ session: a, tokens: [1] }, tooLong]))).code).toBe("run/context");
    expect([a.position, b.position]).toEqual([0, 0]);
    const aborted = model.evaluate([{ session: a, tokens: prompt }], { signal: AbortSignal.abort() });
    expect((await refusal(() => aborted)).code).toBe("run/aborted");
    expect((await refusal(() => aborted)).code).toBe("run/aborted");
    expect(await fingerprint(a)).toEqual(await fingerprint(await fresh(prompt)));
    b.release();
    expect((await refusal(() => model.evaluate([{ session: b, tokens: [1] }]))).code).toBe("run/disposed");
  });
});

describe("rewind", () => {
  test("within the rings it is exact; the last reachable position too", async () => {
    for (const back of [1, 2, 3, 4]) {
      const session = await fresh(prompt);
      session.rewind(prompt.length - back);
      expect(await fingerprint(session)).toEqual(await fingerprint(await fresh(prompt.slice(0, -back))));
    }
  });

  test("further back it is exact too, and evaluates at most the tokens since a checkpoint again", async () => {
    const long = Array.from({ length: 22 }, (_, i) => (i * 7 + 3) % 32);
    for (let length = 0; length <= long.length; length++) {
      const { model, calls } = fakeModel();
      const session = model.createSession();
      await session.prefill(long);
      session.rewind(length);
      expect(session.tokens).toEqual(long.slice(0, length));
      expect(await fingerprint(model.restore(session.save()))).toEqual(await fingerprint(await fresh(long.slice(0, length))));
      const restored = calls.length;
      expect(await fingerprint(session)).toEqual(await fingerprint(await fresh(long.slice(0, length))));
      const again = calls.slice(restored).reduce((rows, call) => rows + call.rows, 0) - 1;
      // The rings reach back 4 positions, checkpoints are 6 apart.
      expect(again).toBe(length >= 18 ? 0 : length % 6);
    }
  });

  test("rows written after a rewind do not bring back what the rings have lost", async () => {
    const session = await fresh(prompt);
    session.rewind(5);
    await session.prefill([7]);
    session.rewind(3);
    expect(await fingerprint(session)).toEqual(await fingerprint(await fresh(prompt.slice(0, 3))));
  });

  test("a checkpoint of tokens that are gone is not used for those in their place", async () => {
    const session = await fresh(prompt);
    session.rewind(2);
    await session.prefill([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    session.rewind(7);
    expect(await fingerprint(session)).toEqual(await fingerprint(await fresh([3, 1, 9, 9, 9, 9, 9])));
  });

  test("a call longer than the rings stops where a checkpoint is to be kept", async () => {
    const long = Array.from({ length: 22 }, (_, i) => (i * 5 + 1) % 32);
    const { model, calls } = fakeModel({ prefillChunk: 20 });
    const session = model.createSession();
    await session.complete(long, { maxTokens: 1 });
    expect(calls.map(({ rows }) => rows)).toEqual([10, 6, 6]);
    session.rewind(13);
    expect(await fingerprint(session)).toEqual(await fingerprint(await fresh(long.slice(0, 13))));
  });

  test("no such position", async () => {
    const session = await fresh(prompt);
    for (const position of [9, -1, 0.5])
      expect(
        (
          await refusal(() => {
            session.rewind(position);
          })
        ).code,
      ).toBe("run/input");
  });
});

test("any sequence of prefill, generate, rewind, fork, save and restore equals a fresh run", async () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant("prefill" as const),
      tokens: fc.array(fc.nat(31), { maxLength: 6 }),
      chunk: fc.integer({ min: 1, max: 6 }),
    }),
    fc.record({ do: fc.constant("generate" as const), count: fc.nat(5), seed: fc.nat(99) }),
    fc.record({ do: fc.constant("rewind" as const), back: fc.nat(24) }),
    fc.record({ do: fc.constantFrom("fork" as const, "restore" as const, "reset" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { model } = fakeModel();
      let session = model.createSession();
      for (const one of steps) {
        const before = session;
        const attempt = async (): Promise<void> => {
          if (one.do === "prefill") await session.prefill(one.tokens, { prefillChunk: one.chunk });
          else if (one.do === "generate") await session.complete([], { maxTokens: one.count, temperature: 1, seed: one.seed });
          else if (one.do === "rewind") session.rewind(Math.max(0, session.position - one.back));
          else if (one.do === "reset") session.reset();
          else session = one.do === "fork" ? session.fork() : model.restore(session.save());
        };
        await attempt().catch((error: unknown) => {
          expect(error).toBeInstanceOf(LfmcError);
        });
        if (session !== before) before.release();
      }
      if (session.position === 24) return;
      const same = await fresh(session.tokens);
      expect(await fingerprint(session)).toEqual(await fingerprint(same));
    }),
    { numRuns: 300 },
  );
});
