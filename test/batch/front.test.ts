/** The front of every engine: order, how far it runs ahead, and engines that fail, double, or lose requests. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { BatchEngine, BatchRequest } from "../../compiler/batch/engine.ts";
import { runFront, type FrontParts } from "../../compiler/batch/front.ts";
import { localEngine } from "../../compiler/batch/local-engine.ts";
import type { PromptLine } from "../../compiler/batch/prompt-line.ts";
import { fakeModel } from "../runtime/support.ts";
import { greedy } from "./support.ts";

const fault = { code: "run/input", message: "no" };

/** Of `count` lines every seventh is at fault before an engine sees it. */
async function* someLines(count: number): AsyncGenerator<PromptLine, void, void> {
  for (let index = 0; index < count; index++) {
    await Promise.resolve();
    yield { index, id: `"${index}"`, content: index % 7 === 3 ? { error: fault } : { fields: {} } };
  }
}

function prepare({ index, content }: PromptLine): ReturnType<FrontParts["prepare"]> {
  return "error" in content ? content.error : { index, tokens: [1], maxTokens: 1, seed: 0, endTokens: [] };
}

async function front(count: number, ahead: number, run: BatchEngine): Promise<readonly string[]> {
  const written: string[] = [];
  await runFront({
    ...{ lines: someLines(count), first: 0, prepare, engine: { run, ahead }, settings: greedy, tokenizer: null },
    write: (line) => void written.push(line),
    onRecord: () => undefined,
  });
  return written;
}

/** Takes as many requests as come, or `most`, and answers them in an order of `picks`. */
function shufflingEngine(most: number, picks: readonly number[]): BatchEngine {
  return async function* (requests) {
    const source = requests[Symbol.asyncIterator]();
    let held: readonly BatchRequest[] = [];
    let step = 0;
    let ended = false;
    while (!ended || held.length > 0) {
      while (!ended && held.length < most) {
        const next = await source.next();
        if (next.done) ended = true;
        else held = [...held, next.value];
      }
      const { index } = held[(picks[step++ % picks.length] ?? 0) % Math.max(1, held.length)] ?? { index: -1 };
      held = held.filter((request) => request.index !== index);
      if (index % 5 === 4) yield { index, error: fault };
      else if (index >= 0) yield { index, tokens: [index], stopReason: "length" };
    }
  };
}

test("lines leave in the input's order, whatever the order of the answers", async () => {
  const picks = fc.array(fc.nat(20), { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.nat(40), fc.integer({ min: 1, max: 9 }), picks, async (count, most, order) => {
      // Lines at fault take part in how far the front is ahead, so an engine may hold fewer requests than that.
      const lines = await front(count, 40, shufflingEngine(most, order));
      expect(lines).toEqual(
        Array.from({ length: count }, (_, index) => {
          if (index % 7 === 3 || index % 5 === 4) return `{"index":${index},"id":"${index}","error":{"code":"run/input","message":"no"}}`;
          return `{"index":${index},"id":"${index}","text":"","tokens":[${index}],"promptTokens":1,"stopReason":"length"}`;
        }),
      );
    }),
    { numRuns: 60 },
  );
});

test("requests come no further ahead of the first unanswered one than the engine says", async () => {
  const engine: BatchEngine = async function* (requests) {
    const source = requests[Symbol.asyncIterator]();
    let next = source.next();
    const held: number[] = [];
    for (let answered = 0; answered < 20;) {
      const found = await Promise.race([next, new Promise<null>((resolve) => setImmediate(resolve, null))]);
      if (found && !found.done) {
        held.push(found.value.index);
        next = source.next();
        continue;
      }
      const index = held.shift();
      if (index === undefined) break;
      // All that may come has come: up to three lines behind the first unanswered one.
      expect(Math.max(index, ...held) - index).toBeLessThan(4);
      answered++;
      yield { index, tokens: [], stopReason: "length" };
    }
  };
  expect(await front(20, 4, engine)).toHaveLength(20);
});

test("an engine that loses a request, answers twice or was not asked is at fault itself", async () => {
  const answering = (answers: (index: number) => readonly number[]): BatchEngine =>
    async function* (requests) {
      for await (const { index } of requests)
        for (const answer of answers(index)) yield { index: answer, tokens: [], stopReason: "length" };
    };
  await expect(
    front(
      3,
      8,
      answering((index) => (index === 1 ? [] : [index])),
    ),
  ).rejects.toThrow("without an answer to 1 lines");
  await expect(
    front(
      3,
      8,
      answering((index) => [index, index]),
    ),
  ).rejects.toThrow("answered line 0");
  await expect(
    front(
      3,
      8,
      answering(() => [17]),
    ),
  ).rejects.toThrow("answered line 17");
});

test("what the engine or the reader throws ends the run", async () => {
  const broken: BatchEngine = async function* (requests) {
    for await (const { index } of requests) {
      yield { index, tokens: [], stopReason: "length" };
      throw new Error("the cluster is gone");
    }
  };
  await expect(front(3, 8, broken)).rejects.toThrow("the cluster is gone");
});

test("what the local engine has begun fails unheard once nobody listens", async () => {
  const { model } = fakeModel({ vocabSize: 64, context: 24, eos: [2], sessions: 3 });
  const unheard: unknown[] = [];
  const hear = (reason: unknown): void => void unheard.push(reason);
  process.on("unhandledRejection", hear);
  const requests = async function* (): AsyncGenerator<BatchRequest, void, void> {
    for (let index = 0; index < 20; index++) {
      await Promise.resolve();
      yield { index, tokens: [1, index], maxTokens: 20, seed: 0, endTokens: [] };
    }
  };
  // As a front does that cannot write any more.
  for await (const outcome of localEngine(model)(requests(), { ...greedy, ignoreEos: true })) if (outcome.index >= 0) break;
  await model.dispose();
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off("unhandledRejection", hear);
  expect(unheard).toEqual([]);
});
