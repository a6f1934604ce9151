/** The edge worker of `examples/worker` under workerd, from the config that its README tells to use. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Model } from "../../runtime/index.ts";
import { findWorkerd } from "../engines.ts";
import { compileTo, demoFolder, openModel, root, workFolder } from "../model/support.ts";
import { type RunningWorker, serveConfig } from "../platforms/workerd.ts";

const workerd = findWorkerd();
const sessions = 2;
const work = await workFolder();
let worker: RunningWorker;
let model: Model;

beforeAll(async () => {
  if (!workerd.available) return;
  await cp(join(root, "examples", "worker"), work, { recursive: true });
  const { memory } = await compileTo(join(work, "model"), {
    model: demoFolder,
    sessions,
    maxMemory: 128_000_000,
    features: ["simd128", "relaxed"],
  });
  expect(memory.bytes).toBeLessThan(30_000_000);
  model = await openModel(join(work, "model"));
  worker = await serveConfig(workerd.path, work);
});
afterAll(async () => {
  if (!workerd.available) return;
  await model.dispose();
  expect(await worker.close()).toBe("");
});

interface Answer {
  readonly text: string;
  /** Pieces in which it came. */
  readonly pieces: number;
  readonly end: Readonly<Record<string, unknown>>;
}

interface Question {
  readonly prompt: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly seed?: number;
}

async function post(body: string, signal?: AbortSignal): Promise<Response> {
  return await fetch(`${worker.url}generate`, { method: "POST", body, signal: signal ?? null });
}

/** Reads an answer to its end, and tells how many events are there each time when more have come. */
async function read(response: Response, onEvents: (count: number) => void = () => undefined): Promise<Answer> {
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  let pieces = 0;
  let stream = "";
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    pieces++;
    stream += piece;
    onEvents(stream.split("\n\n").length - 1);
  }
  const events = stream.split("\n\n").slice(0, -1).map(dataOf);
  const text = events.map((event) => event.text ?? "").join("");
  return { text, pieces, end: events.at(-1) ?? {} };
}

function dataOf(event: string): Readonly<Record<string, unknown>> & { readonly text?: string } {
  expect(event).toMatch(/^data: \{.*\}$/);
  return JSON.parse(event.slice("data: ".length)) as Readonly<Record<string, unknown>>;
}

async function ask(question: Question): Promise<Answer> {
  return await read(await post(JSON.stringify(question)));
}

async function nodeWrites({ prompt, ...options }: Question): Promise<string> {
  const session = model.createSession();
  const { text } = await session.complete(prompt, options);
  session.release();
  return text;
}

beforeEach((context) => {
  if (!workerd.available) context.skip(workerd.reason);
});

test("streams what Node writes with that seed", async () => {
  const question = { prompt: "It is a truth universally acknowledged, that", maxTokens: 80, seed: 5 };
  const { text, pieces, end } = await ask(question);
  expect(text).toBe(await nodeWrites(question));
  expect(pieces).toBeGreaterThan(3);
  expect(end).toEqual({ stopReason: "length", seed: 5, generatedTokens: 80 });
});

test("answers more requests at once than it has sessions", async () => {
  const questions = ["Emma was", "Mr. Darcy", "Anne", "The next morning"].map((prompt, seed) => ({ prompt, maxTokens: 40, seed }));
  const answers = await Promise.all(questions.map(ask));
  for (const [i, { text }] of answers.entries()) expect(text).toBe(await nodeWrites(questions[i] ?? { prompt: "" }));
});

test("a client that leaves makes room, and takes nothing from those who stay", async () => {
  const long = { prompt: "Emma", maxTokens: 1024, temperature: 0 };
  const leaving = new AbortController();
  const left = await post(JSON.stringify(long), leaving.signal);
  const staying = await post(JSON.stringify(long));
  let eventsThen = 0;
  const stayed = read(staying, (count) => (eventsThen = count));
  const waiting = ask({ prompt: "Anne", maxTokens: 1 });
  await left.body?.getReader().read();
  leaving.abort();
  await waiting;
  // Both were at the same token: the one that waited would have come at the end.
  expect(eventsThen).toBeLessThan(700);
  expect((await stayed).end).toMatchObject({ generatedTokens: 1024 });
});

test.each([
  ["no JSON", '{"prompt', 400, /not JSON/],
  ["no prompt", "{}", 400, /prompt/],
  ["null", "null", 400, /prompt/],
  ["a prompt that is no text", '{"prompt": [1, 2]}', 400, /prompt/],
  ["too many tokens", '{"prompt": "Emma", "maxTokens": 1e9}', 400, /at most 2048/],
  ["tokens that are no number", '{"prompt": "Emma", "maxTokens": "many"}', 400, /maxTokens/],
  ["a temperature below 0", '{"prompt": "Emma", "temperature": -1}', 400, /temperature/],
  ["a seed that is no number", '{"prompt": "Emma", "seed": "x"}', 400, /seed/],
  ["a prompt that is too long", JSON.stringify({ prompt: "Emma ".repeat(5000) }), 400, /4096/],
  ["a body that is too long", JSON.stringify({ prompt: "Emma ".repeat(20000) }), 413, /65536/],
])("%s is refused", async (_, body, status, message) => {
  const response = await post(body);
  expect(response.status).toBe(status);
  expect(await response.json()).toEqual({ error: expect.stringMatching(message) as unknown });
});

test("other addresses and methods", async () => {
  const help = await fetch(worker.url);
  expect([help.status, await help.text()]).toEqual([200, expect.stringContaining("POST /generate")]);
  expect((await fetch(`${worker.url}elsewhere`)).status).toBe(404);
  const wrong = await fetch(`${worker.url}generate`);
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
  // A refused request leaves its session free.
  expect((await ask({ prompt: "Emma", maxTokens: 3, seed: 1 })).end).toMatchObject({ generatedTokens: 3 });
});
