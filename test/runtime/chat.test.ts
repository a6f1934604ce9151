/** Conversations on a model that says what the test tells it to: what is evaluated, what comes out, and how it ends. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ChatOptions, type ChatPart, type ChatResult, chat, encodeChat } from "../../runtime/chat/index.ts";
import type { ChatMessage, Tool } from "../../runtime/chat/index.ts";
import { type ChatTemplate, createChatTemplate, templateTokens } from "../../runtime/chat/index.ts";
import type { Model } from "../../runtime/model.ts";
import type { Session } from "../../runtime/session.ts";
import { type Tokenizer, createTokenizer } from "../../runtime/tokenizer.ts";
import { type Fake, type FakeShape, fakeModel, readDemoJson, refusal } from "./support.ts";

/** The demo model's, with the markers of calls as special tokens, as LFM2's has them. */
const tokenizer = withSpecial(["<|tool_call_start|>", "<|tool_call_end|>"]);
const [turnStart = 0, turnEnd = 0] = tokenizer.encode("<|im_start|><|im_end|>", { addBos: false });
const opening = tokenizer.encode("assistant\n", { addBos: false }).length;
const tools: readonly Tool[] = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
];
const question: readonly ChatMessage[] = [{ role: "user", content: "Rain?" }];
const template = fixture("lfm2");

function withSpecial(contents: readonly string[]): Tokenizer {
  const json = readDemoJson("tokenizer.json");
  if (typeof json !== "object" || json === null || !("added_tokens" in json) || !Array.isArray(json.added_tokens))
    throw new Error("no tokens");
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const added: readonly unknown[] = [
    ...(json.added_tokens as readonly unknown[]),
    ...contents.map((content, i) => ({ id: 4096 + i, content, ...plain })),
  ];
  return createTokenizer({ ...json, added_tokens: added }, readDemoJson("tokenizer_config.json"), 1);
}

function fixture(name: string): ChatTemplate {
  const source = readFileSync(new URL(`data/${name}.jinja`, import.meta.url), "utf8");
  return createChatTemplate(source, { bosToken: "<|startoftext|>" });
}

/** A model that answers each turn with the next of these texts. */
function speaker(answers: readonly string[], shape: FakeShape = {}): Fake {
  const encoded = answers.map((answer) => tokenizer.encode(answer, { addBos: false }));
  const script = (history: readonly number[]): number => {
    const turn = history.lastIndexOf(turnStart);
    const before = history.slice(0, turn).filter((token, i) => token === turnStart && isAnswer(history, i)).length;
    return encoded[before]?.[history.length - turn - 1 - opening] ?? turnEnd;
  };
  return fakeModel({ vocabSize: 4098, context: 400, prefillChunk: 64, eos: [turnEnd], ...shape }, script, tokenizer);
}

/** Whether the turn that begins at `at` is the assistant's. */
function isAnswer(history: readonly number[], at: number): boolean {
  const [first] = tokenizer.encode("assistant", { addBos: false });
  return history[at + 1] === first;
}

interface Heard extends ChatResult {
  readonly parts: readonly ChatPart[];
}

async function hear(model: Model, session: Session, messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<Heard> {
  const answer = chat(model, session, messages, { template, ...options });
  const parts: ChatPart[] = [];
  for (;;) {
    const next = await answer.next();
    if (next.done) return { parts, ...next.value };
    parts.push(next.value);
  }
}

describe("chat", () => {
  test("answers with text, one part a token, and keeps the end token out of it", async () => {
    const { model } = speaker(["It will rain."]);
    const session = model.createSession();
    const { parts, message, finish, result } = await hear(model, session, question);
    expect(message).toEqual({ role: "assistant", content: "It will rain." });
    expect(finish).toBe("stop");
    expect(result.stopReason).toBe("eos");
    expect(parts.map(({ text = "" }) => text).join("")).toBe("It will rain.");
    expect(parts).toHaveLength(result.stats.generatedTokens);
    expect(parts.at(-1)).toEqual({ token: turnEnd });
    expect(tokenizer.decode(session.tokens)).toContain("user\nRain?\nassistant\nIt will rain.");
  });

  test("begins with one BOS, whether the template writes it or not", () => {
    const { model } = speaker([]);
    const [bos] = tokenizer.encode("", { addBos: true });
    for (const source of ["{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"]) {
      const own = createChatTemplate(source, templateTokens(model.manifest, tokenizer));
      expect(encodeChat(model, question, { template: own })).toEqual([bos, ...tokenizer.encode("Rain?", { addBos: false })]);
    }
  });

  test("evaluates only what the session does not hold, turn after turn", async () => {
    const { model, calls } = speaker(["It will rain.", "No."]);
    const session = model.createSession();
    const first = await hear(model, session, question);
    const held = session.position;
    const messages = [...question, first.message, { role: "user", content: "Tomorrow?" } as const];
    const before = calls.reduce((sum, { rows }) => sum + rows, 0);
    const second = await hear(model, session, messages);
    expect(second.message.content).toBe("No.");
    const evaluated = calls.reduce((sum, { rows }) => sum + rows, 0) - before;
    expect(evaluated).toBeLessThan(session.position - held + 3);
    const fresh = await hear(model, model.createSession(), messages);
    expect(fresh.parts.map(({ token }) => token)).toEqual(second.parts.map(({ token }) => token));
    // An unlike conversation in the same session.
    expect((await hear(model, session, [{ role: "user", content: "Hm" }])).message.content).toBe("It will rain.");
  });

  test("the template's end of a turn ends the answer, though the manifest does not know it", async () => {
    const { model } = speaker(["Yes."], { eos: [2] });
    const { message, result } = await hear(model, model.createSession(), question);
    expect([message.content, result.stopReason]).toEqual(["Yes.", "eos"]);
  });

  test("ends at maxTokens, at a stop string, and with the context", async () => {
    const { model } = speaker(["one two three four", "x"]);
    const short = await hear(model, model.createSession(), question, { maxTokens: 2 });
    expect([short.finish, short.parts.length]).toEqual(["length", 2]);
    const stopped = await hear(model, model.createSession(), question, { stop: " three" });
    expect([stopped.finish, stopped.message.content]).toEqual(["stop", "one two"]);
    const full = speaker(["one two three four"], { context: 16 });
    const cut = await hear(full.model, full.model.createSession(), question);
    expect([cut.finish, cut.result.stopReason]).toEqual(["length", "context"]);
    expect(
      await refusal(() => hear(full.model, full.model.createSession(), [{ role: "user", content: "long ".repeat(20) }])),
    ).toMatchObject({ code: "run/context" });
  });

  test("log-probabilities come with the first part of a token", async () => {
    const { model } = speaker(['<|tool_call_start|>[get_weather(city="Rome")]<|tool_call_end|>ok']);
    const { parts, result } = await hear(model, model.createSession(), question, { tools, logprobs: 1 });
    expect(parts.filter(({ logprob }) => logprob)).toHaveLength(result.stats.generatedTokens);
  });
});

describe("tools", () => {
  const asking = 'Wait.<|tool_call_start|>[get_weather(city="Rome"), get_weather(city="Bonn")]<|tool_call_end|>';

  test("calls come out of the text, and their results go back in", async () => {
    const { model } = speaker([asking, "Dry."]);
    const session = model.createSession();
    const first = await hear(model, session, question, { tools });
    expect(first.finish).toBe("tool_calls");
    expect(first.parts.flatMap(({ toolCall }) => toolCall ?? []).map(({ name, arguments: given }) => [name, given])).toEqual([
      ["get_weather", { city: "Rome" }],
      ["get_weather", { city: "Bonn" }],
    ]);
    expect(first.parts.map(({ text = "" }) => text).join("")).toBe("Wait.");
    const { tool_calls: calls = [], ...message } = first.message;
    expect(message).toEqual({ role: "assistant", content: "Wait." });
    expect(calls.map((call) => call.function)).toEqual([
      { name: "get_weather", arguments: '{"city":"Rome"}' },
      { name: "get_weather", arguments: '{"city":"Bonn"}' },
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    const results = calls.map(({ id }): ChatMessage => ({ role: "tool", content: "{}", tool_call_id: id }));
    const second = await hear(model, session, [...question, first.message, ...results], { tools });
    expect([second.finish, second.message.content]).toEqual(["stop", "Dry."]);
  });

  test("an answer of nothing but calls has no content", async () => {
    const { model } = speaker(['<|tool_call_start|>[get_weather(city="Rome")]<|tool_call_end|>']);
    expect((await hear(model, model.createSession(), question, { tools })).message.content).toBeNull();
  });

  test("without tools nothing is looked for, and markers are not shown", async () => {
    const { model } = speaker([asking]);
    const { message, finish } = await hear(model, model.createSession(), question);
    expect([message.content, finish]).toEqual(['Wait.[get_weather(city="Rome"), get_weather(city="Bonn")]', "stop"]);
  });

  test("calls that are none are text, markers and all", async () => {
    const text = "<|tool_call_start|>[get_weather(<|tool_call_end|>";
    const { model } = speaker([text]);
    const { message, finish } = await hear(model, model.createSession(), question, { tools });
    expect([message.content, finish]).toEqual([text, "stop"]);
  });

  test("what is held back when the answer ends comes with the last token", async () => {
    const { model } = speaker(["a <"]);
    const { parts, message } = await hear(model, model.createSession(), question, { tools });
    expect(message.content).toBe("a <");
    expect(parts.at(-1)).toEqual({ token: turnEnd, text: "<" });
  });
});

test("who has no template, no tokenizer, or tools for a template without is told so", async () => {
  const { model } = speaker([]);
  const session = model.createSession();
  expect(await refusal(() => hear(model, session, question, { template: undefined }))).toMatchObject({ code: "chat/template" });
  expect(await refusal(() => hear(model, session, question, { template: createChatTemplate("x"), tools }))).toMatchObject({
    code: "chat/template",
  });
  const mute = fakeModel();
  expect(await refusal(() => hear(mute.model, mute.model.createSession(), question))).toMatchObject({ code: "run/input" });
});

test("an abandoned answer leaves the session free, with what was heard", async () => {
  const { model } = speaker(["one two three four"]);
  const session = model.createSession();
  for await (const { text } of chat(model, session, question, { template })) if (text) break;
  const held = session.position;
  expect(held).toBe(encodeChat(model, question, { template }).length + 1);
  expect((await hear(model, session, question)).message.content).toBe("one two three four");
});

test("an aborted answer is refused, and the session goes on", async () => {
  const { model } = speaker(["one two three four"]);
  const session = model.createSession();
  const abort = new AbortController();
  const run = async (): Promise<void> => {
    for await (const _ of chat(model, session, question, { template, signal: abort.signal })) abort.abort();
  };
  expect(await refusal(run)).toMatchObject({ code: "run/aborted" });
  expect((await hear(model, session, question)).message.content).toBe("one two three four");
});
