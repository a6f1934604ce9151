/** Who comes gets a session in order, the one whose past fits best; and several generations at once share forward calls without a bit of difference. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Session, SessionPool } from "../../runtime/index.ts";
import { fakeModel, refusal, type FakeShape } from "./support.ts";

const shape: FakeShape = { context: 200, prefillChunk: 16, logitRows: 8, sessions: 3, rewind: 9 };
const count = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => (from + i) % 31);

/** Lets a promise settle that needs no forward call. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("acquire", () => {
  test("gives the session that shares most with the prompt, rewound to that", async () => {
    const pool = new SessionPool(fakeModel(shape).model, { sessions: 2 });
    const [a, b] = [await pool.acquire(count(20)), await pool.acquire(count(20, 7))];
    await a.prefill(count(20));
    await b.prefill(count(20, 7));
    pool.release(a);
    pool.release(b);
    const again = await pool.acquire([...count(15, 7), 30, 30]);
    expect(again).toBe(b);
    expect(again.tokens).toEqual(count(15, 7));
    // All of the prompt is known: its last token is left to evaluate.
    const whole = await pool.acquire(count(20));
    expect(whole).toBe(a);
    expect(whole.position).toBe(19);
  });

  test("of equal pasts the one that was idle longest is given up", async () => {
    const pool = new SessionPool(fakeModel(shape).model, { sessions: 2 });
    const [a, b] = [await pool.acquire([1]), await pool.acquire([2])];
    pool.release(b);
    pool.release(a);
    expect(await pool.acquire([5])).toBe(b);
  });

  test("a long past that shares little is kept, and one that shares much is forked, while slots are free", async () => {
    const pool = new SessionPool(fakeModel(shape).model);
    const first = await pool.acquire(count(100));
    await first.prefill(count(100));
    pool.release(first);
    const forked = await pool.acquire([...count(50), 30, 30]);
    expect(forked).not.toBe(first);
    expect(forked.tokens).toEqual(count(50));
    const fresh = await pool.acquire([9, 9, 9]);
    expect(fresh).not.toBe(first);
    expect(fresh.position).toBe(0);
    expect((await pool.acquire(count(101))).position).toBe(100);
  });

  test("those who wait are served in order; who gives up leaves the queue", async () => {
    const pool = new SessionPool(fakeModel(shape).model, { sessions: 1 });
    const held = await pool.acquire([1]);
    const order: string[] = [];
    const wait = async (name: string, signal?: AbortSignal): Promise<Session> => {
      const session = await pool.acquire([2], signal);
      order.push(name);
      return session;
    };
    const leaving = new AbortController();
    const [a, b, c] = [wait("a"), wait("b", leaving.signal), wait("c")];
    expect(pool.waiting).toBe(3);
    const gone = refusal(() => b);
    leaving.abort();
    expect((await gone).code).toBe("run/aborted");
    pool.release(held);
    pool.release(await a);
    await c;
    expect(order).toEqual(["a", "c"]);
    expect(pool.waiting).toBe(0);
    expect((await refusal(() => pool.acquire([1], AbortSignal.abort()))).code).toBe("run/aborted");
  });

  test("a model without a free slot refuses, and nobody waits in vain", async () => {
    const { model } = fakeModel({ ...shape, sessions: 1 });
    const own = model.createSession();
    const pool = new SessionPool(model);
    expect((await refusal(() => pool.acquire([1]))).code).toBe("run/sessions");
    expect(pool.waiting).toBe(0);
    own.release();
    expect((await pool.acquire([1])).position).toBe(0);
  });
});

describe("a pool goes on", () => {
  test("after a busy session was given back too early", async () => {
    const pool = new SessionPool(fakeModel(shape).model, { sessions: 1 });
    const session = await pool.acquire([1]);
    const waiting = pool.acquire([2]);
    const running = session.complete([1], { maxTokens: 5 });
    expect(
      (
        await refusal(() => {
          pool.release(session);
        })
      ).code,
    ).toBe("run/busy");
    await running;
    pool.release(session);
    expect(await waiting).toBe(session);
  });

  test("without slots of its own, by the session that it has", async () => {
    const { model } = fakeModel({ ...shape, sessions: 2 });
    const pool = new SessionPool(model);
    const session = await pool.acquire(count(100));
    await session.prefill(count(100));
    pool.release(session);
    model.createSession();
    expect(await pool.acquire([9, 9])).toBe(session);
  });

  test("to say that the model is gone, to those who wait too", async () => {
    const { model } = fakeModel(shape);
    const pool = new SessionPool(model, { sessions: 1 });
    const session = await pool.acquire([1]);
    const waiting = refusal(() => pool.acquire([2]));
    await model.dispose();
    pool.release(session);
    expect((await waiting).code).toBe("run/disposed");
    expect(pool.waiting).toBe(0);
  });

  test("only with a number of sessions", async () => {
    for (const sessions of [0, -1, 1.5, NaN])
      expect((await refusal(() => new SessionPool(fakeModel(shape).model, { sessions }))).code).toBe("run/input");
  });
});

describe("generations at once", () => {
  test("take one forward call for a token each", async () => {
    const { model, calls } = fakeModel(shape);
    const sessions = [0, 1, 2].map(() => model.createSession());
    await Promise.all(sessions.map((session, i) => session.complete([i + 1], { maxTokens: 20 })));
    expect(calls).toHaveLength(20);
    expect(calls.every(({ rows, logits }) => rows === 3 && logits === 3)).toBe(true);
  });

  test("a long prompt takes the room that decoding leaves, and holds up nobody", async () => {
    const { model, calls } = fakeModel(shape);
    const [a, b] = [model.createSession(), model.createSession()];
    await Promise.all([a.complete([1], { maxTokens: 10 }), b.complete(count(100), { maxTokens: 1 })]);
    expect(calls.slice(0, 6).every(({ rows, logits }) => rows > 10 && logits === 1)).toBe(true);
    expect(calls).toHaveLength(10);
  });

  test("any of them gives what it gives alone, whatever the others do", async () => {
    const generation = fc.record({
      prompt: fc.array(fc.nat(30), { minLength: 1, maxLength: 40 }),
      maxTokens: fc.nat(40),
      decode: fc.constantFrom("greedy" as const, "jacobi" as const, "lookup" as const),
      window: fc.integer({ min: 1, max: 9 }),
      temperature: fc.constantFrom(0, 0.9),
      seed: fc.nat(1000),
      abandonAfter: fc.option(fc.nat(20)),
      wait: fc.nat(3),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(generation, { minLength: 2, maxLength: 3 }), async (generations) => {
        const run = async (session: Session, { prompt, abandonAfter, wait, ...options }: (typeof generations)[number]) => {
          for (let turn = 0; turn < wait; turn++) await settled();
          const tokens: number[] = [];
          for await (const { token } of session.generate(prompt, options)) if (tokens.push(token) === abandonAfter) break;
          const logits: number[] = [];
          for await (const row of session.logits([3])) logits.push(...row);
          return { tokens, all: session.tokens, logits };
        };
        const { model } = fakeModel(shape);
        const together = await Promise.all(generations.map((one) => run(model.createSession(), one)));
        for (const [i, one] of generations.entries()) expect(together[i]).toEqual(await run(fakeModel(shape).model.createSession(), one));
      }),
      { numRuns: 60 },
    );
  });

  test("a call that fails ends the generations that took part in it", async () => {
    const { model } = fakeModel(shape);
    const both = [model.createSession(), model.createSession()].map((session) => refusal(() => session.complete([1], { maxTokens: 50 })));
    await settled();
    await model.dispose();
    expect((await Promise.all(both)).map(({ code }) => code)).toEqual(["run/disposed", "run/disposed"]);
  });
});

test("the time limit ends a generation with what it has, and a prompt before its first token", async () => {
  const { model } = fakeModel(shape);
  const none = await model.createSession().complete(count(100), { maxSeconds: 0 });
  expect([none.stopReason, none.tokens]).toEqual(["time", []]);
  const session = model.createSession();
  const one = await session.complete([1], { maxSeconds: 1e-9 });
  expect([one.stopReason, one.tokens.length]).toEqual(["time", 1]);
  const { code } = await refusal(() => session.complete([], { maxSeconds: -1 }));
  expect(code).toBe("run/input");
});
