/**
 * Three sessions of one compiled model go through random sequences of everything that a session can do, sharing forward calls and far
 * rewinds included; after each sequence the logits of every session are, bit for bit, those of a fresh run of its tokens.
 */
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Model, Session } from "../../runtime/index.ts";
import { caseFolder, type GoldenCase } from "../golden/read.ts";
import { compileTo, firstDifference, forwardAll, oneThread, openModel, someTokens, workFolder } from "./support.ts";

const folder = await workFolder();

/** More than two checkpoints' intervals, and far more than the rings reach back. */
const context = 300;
const sessionCount = 3;

/** Attention in several blocks and a wide convolution with biases; and calls that are longer than the rings reach. */
const models: readonly { readonly name: GoldenCase; readonly prefillChunk: number }[] = [
  { name: "dense-odd", prefillChunk: 19 },
  { name: "dense-tiny", prefillChunk: 100 },
];

const who = fc.nat(sessionCount - 1);
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("prefill" as const),
      who,
      count: fc.integer({ min: 1, max: 170 }),
      chunk: fc.integer({ min: 1, max: 100 }),
      seed: fc.nat(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("decode" as const), who, count: fc.integer({ min: 1, max: 6 }), seed: fc.nat(99) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rewind" as const), who, share: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("shared" as const),
      counts: fc.array(fc.nat(40), { minLength: sessionCount, maxLength: sessionCount }),
      seed: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("fork" as const, "restore" as const), who, to: who }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe.each(models)("$name, $prefillChunk rows a call", ({ name, prefillChunk }) => {
  let model: Model;
  /** The same artefact once more, for fresh runs. */
  let fresh: Model;

  beforeAll(async () => {
    const options = { model: caseFolder(name), features: oneThread, sessions: sessionCount, context, prefillChunk };
    const compiled = await compileTo(join(folder, name), options);
    [model, fresh] = [await openModel(compiled.folder), await openModel(compiled.folder)];
  });

  test("any sequence of prefill, decode, rewind, shared calls, fork, save and restore equals a fresh run", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        const sessions = Array.from({ length: sessionCount }, () => model.createSession());
        try {
          for (const one of steps) await take(model, sessions, one);
          const probes = sessions.map((session, i) => someTokens(Math.min(3, context - session.position), vocabulary(), i));
          const found = await model.evaluate(sessions.map((session, i) => ({ session, tokens: probes[i] ?? [] })));
          for (const [i, session] of sessions.entries()) {
            if (probes[i]?.length === 0) continue;
            expect(firstDifference([found[i] ?? new Float32Array(0)], forwardAll(fresh, session.tokens).slice(-1))).toBeNull();
          }
        } finally {
          for (const session of sessions) session.release();
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a rewind to any position is exact, and costs fewer tokens than lie between checkpoints", async () => {
    const tokens = someTokens(context - 1, vocabulary());
    const expected = forwardAll(fresh, tokens);
    const { interval } = model.manifest.memory.state.checkpoints;
    expect(interval).toBeLessThan(context / 2);
    const session = model.createSession();
    await session.prefill(tokens);
    const saved = session.save();
    for (let length = tokens.length - 1; length >= 0; length -= 7) {
      session.load(saved);
      session.rewind(length);
      const token = tokens[length] ?? 0;
      const [logits] = await model.evaluate([{ session, tokens: [token] }]);
      expect(firstDifference([logits ?? new Float32Array(0)], expected.slice(length, length + 1))).toBeNull();
    }
    session.load(saved);
    session.rewind(interval + 5);
    const { stats } = await session.complete([], { maxTokens: 1, ignoreEos: true });
    expect(stats.promptTokens).toBe(5);
    session.release();
  });

  function vocabulary(): number {
    return model.manifest.model.vocabSize;
  }
});

/** One step; `sessions` change in place where a slot gets another past. */
async function take(model: Model, sessions: Session[], one: Step): Promise<void> {
  const { vocabSize } = model.manifest.model;
  const roomOf = (session: Session | undefined): number => context - 1 - (session?.position ?? context);
  if (one.kind === "shared") {
    const turns = sessions.map((session, i) => ({
      session,
      tokens: someTokens(Math.min(one.counts[i] ?? 0, roomOf(session)), vocabSize, one.seed + i),
    }));
    await model.evaluate(turns);
    return;
  }
  const session = sessions[one.who];
  if (!session) throw new Error("no such session");
  switch (one.kind) {
    case "prefill":
      await session.prefill(someTokens(Math.min(one.count, roomOf(session)), vocabSize, one.seed), { prefillChunk: one.chunk });
      return;
    case "decode":
      if (session.position === 0) return;
      await session.complete([], { maxTokens: Math.min(one.count, roomOf(session)), temperature: 1, seed: one.seed, ignoreEos: true });
      return;
    case "rewind":
      session.rewind(Math.floor(one.share * session.position));
      return;
    case "fork":
    case "restore": {
      if (one.to === one.who) return;
      sessions[one.to]?.release();
      sessions[one.to] = one.kind === "fork" ? session.fork() : model.restore(session.save());
      return;
    }
  }
}
