/**
 * Three sessions of one compiled model go through random sequences of everything that a session can do, in forward calls that they share; all the while
 * each holds the tokens that it would hold alone, and in the end its logits are, bit for bit, those of a fresh run of its tokens.
 */
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { type GenerateOptions, type Model, type Session, LfmcError } from "../../runtime/index.ts";
import { caseFolder } from "../golden/read.ts";
import { compileTo, decodes, demoFolder, firstDifference, forwardAll, oneThread, openModel, someTokens, workFolder } from "./support.ts";

const folder = await workFolder();

/** More than two checkpoints' intervals, and far more than the rings reach back. */
const context = 300;
const sessionCount = 3;

/** Attention in several blocks and a wide convolution with biases; calls that are longer than the rings reach; experts; trained weights. */
const models: readonly { readonly name: string; readonly model: string; readonly prefillChunk: number; readonly runs: number }[] = [
  { name: "dense-odd", model: caseFolder("dense-odd"), prefillChunk: 19, runs: 40 },
  { name: "dense-tiny", model: caseFolder("dense-tiny"), prefillChunk: 100, runs: 40 },
  { name: "moe-plain", model: caseFolder("moe-plain"), prefillChunk: 33, runs: 40 },
  { name: "demo-model", model: demoFolder, prefillChunk: 64, runs: 20 },
];

const who = fc.nat(sessionCount - 1);
/** A prompt of so many tokens, and what is generated after it. */
const turn = fc.record({
  prompt: fc.oneof(fc.constant(0), fc.nat(40)),
  maxTokens: fc.nat(10),
  temperature: fc.constantFrom(0, 0.9),
  decode: fc.constantFrom(...decodes),
  window: fc.integer({ min: 1, max: 12 }),
  prefillChunk: fc.integer({ min: 1, max: 100 }),
  seed: fc.nat(),
});
type Turn = typeof turn extends fc.Arbitrary<infer T> ? T : never;
const count = fc.integer({ min: 1, max: 170 });
const share = fc.double({ min: 0, max: 1, noNaN: true });
/** Near, and about as far as the rings reach, which is 64 positions. */
const back = fc.oneof(fc.nat(24), fc.integer({ min: 60, max: 90 }));
const [some, seed] = [fc.nat(40), fc.nat()];

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("prefill"), who, count, chunk: fc.integer({ min: 1, max: 100 }), seed }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("prefill that is aborted"), who, count, seed }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("generate"), who, turn }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("generate a part"), who, turn, shown: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("generate together"), turns: fc.tuple(turn, turn, turn) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("evaluate together"), counts: fc.tuple(some, some, some), seed }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rewind to"), who, share }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rewind by"), who, back }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("keep prefix"), who, share, count: fc.oneof(fc.constant(0), some), seed }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("fork", "restore", "load"), who, to: who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release"), who }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A session, and the tokens that it must hold. */
interface Seat {
  readonly session: Session;
  readonly tokens: readonly number[];
}

describe.each(models)("$name, $prefillChunk rows a call", ({ name, model: source, prefillChunk, runs }) => {
  let model: Model;
  const place = join(folder, name);
  /** The same artefact once more, for fresh runs. */
  let fresh: Model;

  beforeAll(async () => {
    const options = { model: source, features: oneThread, sessions: sessionCount, context, prefillChunk };
    await compileTo(place, options);
    await open();
  });

  async function open(): Promise<void> {
    [model, fresh] = [await openModel(place), await openModel(place)];
  }

  test("any sequence of operations leaves every session with the tokens and the logits of a fresh run", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14, size: "max" }), async (steps) => {
        let seats: readonly Seat[] = Array.from({ length: sessionCount }, () => ({ session: model.createSession(), tokens: [] }));
        try {
          for (const one of steps) {
            seats = await take({ model, fresh }, seats, one);
            expect(seats.map(({ session }) => session.tokens)).toEqual(seats.map(({ tokens }) => tokens));
          }
          await expectFreshLogits({ model, fresh }, seats);
        } catch (error) {
          // Sessions may be lost in the middle of a step: smaller counterexamples are looked for in models of their own.
          await open();
          throw error;
        }
        for (const { session } of seats) session.release();
      }),
      { numRuns: runs },
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

interface Models {
  readonly model: Model;
  readonly fresh: Model;
}

/** Reads a few tokens more into every session and holds the logits to those of fresh runs. */
async function expectFreshLogits({ model, fresh }: Models, seats: readonly Seat[]): Promise<void> {
  const probes = seats.map(({ tokens }, i) => someTokens(Math.min(3, context - tokens.length), model.manifest.model.vocabSize, i));
  const found = await model.evaluate(seats.map(({ session }, i) => ({ session, tokens: probes[i] ?? [] })));
  for (const [i, { tokens }] of seats.entries()) {
    const probe = probes[i] ?? [];
    // Nothing fits a full context.
    if (probe.length === 0) continue;
    expect(firstDifference(found.slice(i, i + 1), [freshLogits(fresh, [...tokens, ...probe])])).toBeNull();
  }
}

/** One step: the seats after it. */
async function take({ model, fresh }: Models, seats: readonly Seat[], one: Step): Promise<readonly Seat[]> {
  const { vocabSize } = model.manifest.model;
  const some = (count: number, seed: number): readonly number[] => someTokens(count, vocabSize, seed);
  if (one.kind === "evaluate together") {
    const given = seats.map(({ tokens }, i) => some(Math.min(one.counts[i] ?? 0, context - tokens.length), one.seed + i));
    await model.evaluate(seats.map(({ session }, i) => ({ session, tokens: given[i] ?? [] })));
    return seats.map(({ session, tokens }, i) => ({ session, tokens: [...tokens, ...(given[i] ?? [])] }));
  }
  if (one.kind === "generate together") {
    const generations = await Promise.all(seats.map((seat, i) => generate(seat, one.turns[i] ?? one.turns[0], vocabSize)));
    for (const generation of generations) await expectAsAlone(fresh, generation);
    return generations.map(({ before, found }, i) => ({ session: seatAt(seats, i).session, tokens: [...before, ...found] }));
  }
  const seat = seatAt(seats, one.who);
  const { session, tokens } = seat;
  const room = context - tokens.length;
  const moved = (other: Seat, at = one.who): readonly Seat[] => seats.with(at, other);
  const rewound = (length: number): readonly Seat[] => {
    session.rewind(length);
    return moved({ session, tokens: tokens.slice(0, length) });
  };
  switch (one.kind) {
    case "prefill": {
      const prompt = some(Math.min(one.count, room), one.seed);
      await session.prefill(prompt, { prefillChunk: one.chunk });
      return moved({ session, tokens: [...tokens, ...prompt] });
    }
    case "prefill that is aborted": {
      const prompt = some(Math.min(one.count, room), one.seed);
      await session.prefill(prompt, { signal: AbortSignal.abort() }).catch((error: unknown) => {
        if (!(error instanceof LfmcError)) throw error;
      });
      return moved({ session, tokens: [...tokens, ...prompt] });
    }
    case "generate":
    case "generate a part": {
      const generation = await generate(seat, one.turn, vocabSize, one.kind === "generate" ? Infinity : one.shown);
      await expectAsAlone(fresh, generation);
      return moved({ session, tokens: [...generation.before, ...generation.found] });
    }
    case "rewind to":
      return rewound(Math.floor(one.share * tokens.length));
    case "rewind by":
      return rewound(Math.max(0, tokens.length - one.back));
    case "keep prefix": {
      const start = tokens.slice(0, Math.floor(one.share * tokens.length));
      const prompt = [...start, ...some(Math.min(one.count, context - start.length), one.seed)];
      const shared = session.keepPrefix(prompt);
      const differs = prompt.findIndex((token, i) => token !== tokens[i]);
      expect(shared).toBe(Math.max(0, Math.min(differs < 0 ? prompt.length : differs, prompt.length - 1)));
      return moved({ session, tokens: tokens.slice(0, shared) });
    }
    case "fork":
    case "restore":
    case "load":
      return one.to === one.who
        ? seats
        : moved({ session: copied(model, session, seatAt(seats, one.to).session, one.kind), tokens }, one.to);
    case "release":
      session.release();
      return moved({ session: model.createSession(), tokens: [] });
  }
}

function seatAt(seats: readonly Seat[], index: number): Seat {
  const seat = seats[index];
  if (!seat) throw new Error(`no seat ${index}`);
  return seat;
}

/** A session with the past of `session`, in the place of `other`. */
function copied(model: Model, session: Session, other: Session, kind: "fork" | "restore" | "load"): Session {
  if (kind === "load") {
    other.load(session.save());
    return other;
  }
  other.release();
  return kind === "fork" ? session.fork() : model.restore(session.save());
}

/** What a generation was asked for, and what it gave. */
interface Generation {
  readonly before: readonly number[];
  readonly settings: Pick<GenerateOptions, "maxTokens" | "temperature" | "seed" | "ignoreEos">;
  readonly found: readonly number[];
}

/** Takes a turn, of which at most `shown` tokens are wanted. */
async function generate({ session, tokens }: Seat, turn: Turn, vocabSize: number, shown = Infinity): Promise<Generation> {
  const { temperature, seed, decode, window, prefillChunk } = turn;
  const least = tokens.length === 0 ? 1 : 0;
  const prompt = someTokens(Math.min(Math.max(turn.prompt, least), context - tokens.length), vocabSize, seed);
  const before = [...tokens, ...prompt];
  const settings = { maxTokens: Math.min(turn.maxTokens, context - before.length), temperature, seed, ignoreEos: true };
  const found: number[] = [];
  for await (const { token } of session.generate(prompt, { ...settings, decode, window, prefillChunk })) {
    found.push(token);
    if (found.length >= shown) break;
  }
  expect(found).toHaveLength(Math.min(shown, settings.maxTokens));
  return { before, settings, found };
}

/** Holds a generation to that of a fresh session, one token at a time and nobody else in its calls. */
async function expectAsAlone(fresh: Model, { before, settings, found }: Generation): Promise<void> {
  const alone = fresh.createSession();
  const { tokens } = await alone.complete(before, settings);
  alone.release();
  expect(found).toEqual(tokens.slice(0, found.length));
}

/** The logits after the last of `tokens`, read alone from an empty slot. */
function freshLogits(fresh: Model, tokens: readonly number[]): Float32Array {
  // A new session clears its slot.
  fresh.createSession().release();
  const { prefillChunk } = fresh.manifest.limits;
  let last = new Float32Array(0);
  for (let start = 0; start < tokens.length; start += prefillChunk) {
    const rows = tokens.slice(start, start + prefillChunk).map((token, i) => {
      return { token, slot: 0, position: start + i, wantsLogits: start + i === tokens.length - 1 };
    });
    last = fresh.forward(rows)[0]?.slice() ?? last;
  }
  return last;
}
