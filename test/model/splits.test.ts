/**
 * Any split gives the same bits: however a sequence's rows are cut into forward calls, whatever rows of another session share those
 * calls, and by whatever rewinds, saves and forks a session came to its tokens, its logits are those of a session that just read them.
 */
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Kv } from "../../compiler/options.ts";
import type { WeightFormat } from "../../compiler/passes/index.ts";
import { argmax, type Model, type Row, type Session } from "../../runtime/index.ts";
import { caseFolder, type GoldenCase } from "../golden/read.ts";
import { compileTo, firstDifference, forwardAll, oneThread, openModel, someTokens, workFolder } from "./support.ts";

const folder = await workFolder();

/** Between them: biases and a wide convolution, several blocks of attention, both weights and both KV caches; experts. */
const models: readonly { readonly name: GoldenCase; readonly quant: WeightFormat; readonly kv: Kv }[] = [
  { name: "dense-odd", quant: "q4_0", kv: "f16" },
  { name: "dense-tiny", quant: "q4_0", kv: "f32" },
  { name: "dense-extra", quant: "f32", kv: "f32" },
  { name: "moe-bias", quant: "q4_0", kv: "f16" },
];

const length = 200;
/** Not a multiple of any tile's row count, so that calls of every remainder occur. */
const prefillChunk = 23;

describe.each(models)("$name, weights $quant, KV cache $kv", ({ name, quant, kv }) => {
  let model: Model;
  /** One sequence for each of two sessions, and their logits read alone in as large calls as there can be. */
  let sequences: readonly { readonly tokens: readonly number[]; readonly logits: readonly Float32Array[] }[];

  beforeAll(async () => {
    const options = { model: caseFolder(name), features: oneThread, quant, kv, prefillChunk, sessions: 2, context: 256 };
    model = await openModel((await compileTo(join(folder, name), options)).folder);
    sequences = [1, 2].map((seed) => {
      const tokens = someTokens(length, model.manifest.model.vocabSize, seed);
      clearSlots(model);
      return { tokens, logits: forwardAll(model, tokens) };
    });
  });

  test("calls of any size with rows of two sessions in any order give each session its own bits", () => {
    // A call is the sessions of its rows; a session's rows follow each other wherever they stand.
    const call = fc.array(fc.record({ slot: fc.nat(1), wantsLogits: fc.boolean() }), { minLength: 1, maxLength: prefillChunk });
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 24 }), (calls) => {
        clearSlots(model);
        const positions = [0, 0];
        for (const wishes of calls) {
          const rows: Row[] = wishes.flatMap(({ slot, wantsLogits }) => {
            const position = positions[slot] ?? 0;
            const token = sequences[slot]?.tokens[position];
            if (token === undefined) return [];
            positions[slot] = position + 1;
            return [{ token, slot, position, wantsLogits }];
          });
          if (rows.length === 0) continue;
          const wanted = rows.filter((row) => row.wantsLogits);
          const expected = wanted.map(({ slot, position }) => sequences[slot]?.logits[position] ?? new Float32Array());
          expect(firstDifference(model.forward(rows), expected)).toBeNull();
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each([1, 7, prefillChunk])("a prompt read %i tokens at a time has the same bits", async (chunk) => {
    const session = model.createSession();
    const [sequence] = sequences;
    const found: Float32Array[] = [];
    for await (const logits of session.logits(sequence?.tokens ?? [], { prefillChunk: chunk })) found.push(logits);
    expect(firstDifference(found, sequence?.logits ?? [])).toBeNull();
    session.release();
  });

  test("the module's choice is the largest of its logits, for all rows of a call; a generation is the same by either", async () => {
    const [sequence] = sequences;
    const { logitRows } = model.manifest.limits;
    const rows = (sequence?.tokens ?? []).slice(0, logitRows).map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
    clearSlots(model);
    expect(model.choose(rows)).toEqual(sequence?.logits.slice(0, rows.length).map(argmax));
    const session = model.createSession();
    const settings = { maxTokens: 20, temperature: 0, ignoreEos: true };
    const { tokens } = await session.complete([1, 2, 3], settings);
    session.reset();
    expect((await session.complete([1, 2, 3], { ...settings, sample: argmax })).tokens).toEqual(tokens);
    session.release();
  });

  test("a session taken back as far as the plan lets it has the bits of one that stopped there", async () => {
    const { rewind } = model.manifest.limits;
    const vocabulary = model.manifest.model.vocabSize;
    const probe = someTokens(5, vocabulary, 99);
    const [session, fresh] = [model.createSession(), model.createSession()];
    const start = someTokens(70, vocabulary, 3);
    await session.prefill([...start, ...someTokens(rewind, vocabulary, 4)]);
    session.rewind(start.length);
    await fresh.prefill(start);
    expect(firstDifference(await logitsOf(session, probe), await logitsOf(fresh, probe))).toBeNull();
    for (const each of [session, fresh]) each.release();
  });

  test("a session that went astray and came back has the bits of one that never did", async () => {
    const vocabulary = model.manifest.model.vocabSize;
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("read" as const),
        count: fc.integer({ min: 1, max: 60 }),
        chunk: fc.integer({ min: 1, max: prefillChunk }),
        seed: fc.nat(),
      }),
      fc.record({ kind: fc.constant("rewind" as const), back: fc.nat(model.manifest.limits.rewind) }),
      fc.record({ kind: fc.constant("restore" as const) }),
      fc.record({ kind: fc.constant("fork" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
        let session = model.createSession();
        let farthest = 0;
        for (const one of steps) {
          switch (one.kind) {
            case "read":
              await session.prefill(someTokens(Math.min(one.count, 250 - session.position), vocabulary, one.seed), {
                prefillChunk: one.chunk,
              });
              farthest = Math.max(farthest, session.position);
              break;
            case "rewind":
              session.rewind(Math.max(0, farthest - model.manifest.limits.rewind, session.position - one.back));
              if (session.position === 0) farthest = 0;
              break;
            case "restore": {
              const bytes = session.save();
              session.release();
              session = model.restore(bytes);
              break;
            }
            case "fork":
              session = await forkAndSpoil(session, vocabulary);
              break;
          }
        }
        const probe = someTokens(5, vocabulary, 99);
        const found = await logitsOf(session, probe);
        const fresh = model.createSession();
        await fresh.prefill(session.tokens.slice(0, -probe.length));
        const expected = await logitsOf(fresh, probe);
        for (const each of [session, fresh]) each.release();
        expect(firstDifference(found, expected)).toBeNull();
      }),
      { numRuns: 40 },
    );
  });
});

/** The copy, after the session that it was made from went another way and gave its slot back. */
async function forkAndSpoil(session: Session, vocabulary: number): Promise<Session> {
  const copy = session.fork();
  await session.prefill(someTokens(4, vocabulary, 7));
  session.release();
  return copy;
}

/** The logits after each of `tokens`, read one at a time. */
async function logitsOf(session: Session, tokens: readonly number[]): Promise<readonly Float32Array[]> {
  const found: Float32Array[] = [];
  for await (const logits of session.logits(tokens, { prefillChunk: 1 })) found.push(logits);
  return found;
}

/** A new session clears its slot. */
function clearSlots(model: Model): void {
  const sessions = Array.from({ length: model.manifest.limits.sessions }, () => model.createSession());
  for (const session of sessions) session.release();
}
