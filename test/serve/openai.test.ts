/** OpenAI's own client, against a server of the demo model: what it gets is what the runtime gives. */
import { join } from "node:path";
import OpenAI, { APIError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createChatTemplate, encodeChat, templateTokens } from "../../runtime/chat/index.ts";
import type { Completion, GenerateOptions, Model } from "../../runtime/index.ts";
import { compileTo, demoFolder, oneThread, openModel, workFolder } from "../model/support.ts";
import { chatTemplate, scriptedModel, serve, start, type Running } from "./support.ts";

const folder = await workFolder();
/** The same model twice: one is served, the other tells what to expect. */
let model: Model;
let running: Running;
let client: OpenAI;

beforeAll(async () => {
  await compileTo(join(folder, "demo"), { model: demoFolder, sessions: 4, context: 1024, features: oneThread });
  model = await openModel(join(folder, "demo"));
  running = await start(await openModel(join(folder, "demo")));
  client = clientAt(running.url);
});
afterAll(async () => {
  await running.server.stop(0);
  await model.dispose();
  expect(running.faults).toEqual([]);
});

function clientAt(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
}

/** A client of a model that always answers so. */
async function clientOf(answer: string): Promise<OpenAI> {
  return clientAt((await serve(scriptedModel(answer))).url);
}

/** What the runtime makes of a prompt, alone, in a session of its own. */
async function alone(prompt: string | readonly number[], options: GenerateOptions): Promise<Completion> {
  const session = model.createSession();
  try {
    return await session.complete(prompt, options);
  } finally {
    session.release();
  }
}

const prompts = [
  "It is a truth universally acknowledged, that",
  "Elizabeth was",
  "The party at Netherfield",
  "Mr. Darcy said",
  "Emma Woodhouse, handsome, clever, and rich",
  "She had been",
  "Nobody who had ever seen",
  "The family of Dashwood had long been",
];

describe("completions", () => {
  it("are what the runtime gives, counted, with the reason of their end", async () => {
    const answer = await client.completions.create({ model: "demo", prompt: prompts[0] ?? "", max_tokens: 24, temperature: 0 });
    const expected = await alone(prompts[0] ?? "", { maxTokens: 24, temperature: 0 });
    expect(answer.choices[0]).toEqual({ index: 0, text: expected.text, logprobs: null, finish_reason: "length" });
    expect(answer.usage).toEqual({
      prompt_tokens: 12,
      completion_tokens: 24,
      total_tokens: 36,
      prompt_tokens_details: { cached_tokens: 0 },
    });
    expect(answer.system_fingerprint).toBe(`fp_${model.manifest.model.hash.slice(0, 16)}`);
  });

  it("take token ids, and 16 tokens where nothing is said", async () => {
    const ids = [1, 329, 372];
    const answer = await client.completions.create({ model: "demo", prompt: ids, temperature: 0 });
    expect(answer.choices[0]?.text).toBe((await alone(ids, { maxTokens: 16, temperature: 0 })).text);
    expect(answer.usage?.completion_tokens).toBe(16);
  });

  it.each(["jacobi", "lookup"] as const)("decode by %s to the same", async (decode) => {
    const wish = { model: "demo", prompt: prompts[1] ?? "", max_tokens: 40, temperature: 0, decode };
    const answer = await client.completions.create(wish);
    expect(answer.choices[0]?.text).toBe((await alone(prompts[1] ?? "", { maxTokens: 40, temperature: 0 })).text);
  });

  it("end before stop strings", async () => {
    const { text } = await alone(prompts[0] ?? "", { maxTokens: 24, temperature: 0 });
    const stop = text.slice(10, 14);
    const answer = await client.completions.create({
      model: "demo",
      prompt: prompts[0] ?? "",
      max_tokens: 24,
      temperature: 0,
      stop: ["qqq", stop],
    });
    expect(answer.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: "stop" });
  });

  it("tell log-probabilities", async () => {
    const answer = await client.completions.create({ model: "demo", prompt: prompts[0] ?? "", max_tokens: 5, temperature: 0, logprobs: 3 });
    const { tokens = [], token_logprobs = [], top_logprobs = [], text_offset = [] } = answer.choices[0]?.logprobs ?? {};
    expect(tokens.join("")).toBe(answer.choices[0]?.text);
    expect(text_offset).toEqual(tokens.map((_, i) => tokens.slice(0, i).join("").length));
    expect(top_logprobs.map((top) => Object.keys(top).length)).toEqual([3, 3, 3, 3, 3]);
    expect(top_logprobs.map((top, i) => top[tokens[i] ?? ""])).toEqual(token_logprobs);
    expect(token_logprobs.every((logprob) => logprob < 0)).toBe(true);
  });

  it("obey a logit bias", async () => {
    const answer = await client.completions.create({
      model: "demo",
      prompt: "She",
      max_tokens: 3,
      temperature: 0,
      logit_bias: { "372": 100 },
    });
    expect(answer.choices[0]?.text).toBe(model.tokenizer?.decode([372, 372, 372]));
  });

  it("reuse the past of an idle session", async () => {
    const prompt = prompts.join(" ");
    const first = await client.completions.create({ model: "demo", prompt, max_tokens: 4, temperature: 0 });
    const again = await client.completions.create({ model: "demo", prompt, max_tokens: 4, temperature: 0 });
    expect(again.choices).toEqual(first.choices);
    expect(again.usage?.prompt_tokens_details?.cached_tokens).toBe((first.usage?.prompt_tokens ?? 0) - 1);
  });
});

describe("eight clients at a time, four sessions", () => {
  it.each([
    ["greedy", 0],
    ["sampled", 0.9],
  ])("each get what they get alone, %s", async (_, temperature) => {
    const wish = { model: "demo", max_tokens: 48, temperature, top_p: 0.95, top_k: 0 };
    const answers = await Promise.all(
      prompts.map(async (prompt, seed) => {
        if (seed % 2 === 0) return (await client.completions.create({ ...wish, prompt, seed })).choices[0]?.text;
        let text = "";
        for await (const piece of await client.completions.create({ ...wish, prompt, seed, stream: true }))
          text += piece.choices[0]?.text ?? "";
        return text;
      }),
    );
    const expected: string[] = [];
    for (const [seed, prompt] of prompts.entries())
      expected.push((await alone(prompt, { maxTokens: 48, temperature, topP: 0.95, topK: 0, seed })).text);
    expect(answers).toEqual(expected);
  });
});

describe("conversations", () => {
  const messages = [
    { role: "system" as const, content: "Be brief." },
    {
      role: "user" as const,
      content: [
        { type: "text" as const, text: "Who is" },
        { type: "text" as const, text: "Emma?" },
      ],
    },
  ];
  const asRuntime = [messages[0], { role: "user" as const, content: "Who is\nEmma?" }].filter((message) => message !== undefined);

  const seeded = { max_tokens: 20, seed: 7 };

  async function answerAlone(options: GenerateOptions): Promise<Completion> {
    const template = createChatTemplate(chatTemplate, templateTokens(model.manifest, model.tokenizer));
    const flat = asRuntime.map(({ role, content }) => ({ role, content: typeof content === "string" ? content : "" }));
    return await alone(encodeChat(model, flat, { template }), { ...options, endTokens: [7] });
  }

  it("are answered", async () => {
    const answer = await client.chat.completions.create({ model: "demo", messages, ...seeded });
    const expected = await answerAlone({ maxTokens: 20, seed: 7 });
    expect(answer).toMatchObject({ object: "chat.completion", model: "demo" });
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: expected.text, refusal: null },
        logprobs: null,
        finish_reason: expected.stopReason === "eos" ? "stop" : "length",
      },
    ]);
    expect(answer.usage?.completion_tokens).toBe(expected.tokens.length);
  });

  it("stream the same in pieces, with usage at the end where it is asked for", async () => {
    const wish = { model: "demo", messages, ...seeded, stream: true as const, stream_options: { include_usage: true } };
    const pieces = [];
    for await (const piece of await client.chat.completions.create(wish)) pieces.push(piece);
    const text = pieces.map((piece) => piece.choices[0]?.delta.content ?? "").join("");
    const expected = await answerAlone({ maxTokens: 20, seed: 7 });
    expect(text).toBe(expected.text);
    expect(pieces[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(pieces.length).toBeGreaterThan(10);
    expect(new Set(pieces.map(({ id }) => id)).size).toBe(1);
    expect(pieces.at(-2)?.choices[0]?.finish_reason).toBe(expected.stopReason === "eos" ? "stop" : "length");
    expect(pieces.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expected.tokens.length } });
    expect(pieces.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it("tell log-probabilities with bytes", async () => {
    const wish = { model: "demo", messages, max_tokens: 4, temperature: 0, logprobs: true, top_logprobs: 2 };
    const [choice] = (await client.chat.completions.create(wish)).choices;
    const told = choice?.logprobs?.content ?? [];
    expect(Buffer.from(told.flatMap(({ bytes }) => bytes ?? [])).toString()).toBe(choice?.message.content);
    for (const { token, logprob, top_logprobs } of told) {
      expect(top_logprobs).toHaveLength(2);
      expect(top_logprobs[0]).toMatchObject({ token, logprob });
    }
    let streamed = 0;
    for await (const piece of await client.chat.completions.create({ ...wish, stream: true }))
      streamed += piece.choices[0]?.logprobs?.content?.length ?? 0;
    expect(streamed).toBe(told.length);
  });

  it("are held to JSON", async () => {
    const bias = { [model.tokenizer?.idOf("}") ?? -1]: 100 };
    const wish = { model: "demo", messages, max_tokens: 40, temperature: 0, logit_bias: bias };
    const [choice] = (await client.chat.completions.create({ ...wish, response_format: { type: "json_object" } })).choices;
    expect(choice).toMatchObject({ finish_reason: "stop", message: { content: "{}" } });
  });

  it("are held to a schema", async () => {
    const properties = { kind: { enum: ["man", "woman"] }, old: { type: "boolean" } };
    const schema = { type: "object", properties, required: ["kind", "old"], additionalProperties: false };
    const response_format = { type: "json_schema" as const, json_schema: { name: "person", schema } };
    const [choice] = (
      await client.chat.completions.create({ model: "demo", messages, max_completion_tokens: 100, temperature: 0, response_format })
    ).choices;
    expect(choice?.finish_reason).toBe("stop");
    expect(JSON.parse(choice?.message.content ?? "")).toEqual({
      kind: expect.stringMatching(/^(man|woman)$/) as string,
      old: expect.any(Boolean) as boolean,
    });
  });

  it("end where the client goes away, and the session is free for the next", async () => {
    const abort = new AbortController();
    const stream = await client.chat.completions.create(
      { model: "demo", messages, stream: true, logit_bias: { "2": -100, "7": -100 } },
      { signal: abort.signal },
    );
    let pieces = 0;
    for await (const piece of stream) {
      pieces += piece.choices.length;
      if (pieces === 3) abort.abort();
    }
    expect(pieces).toBeLessThan(100);
    const answer = await client.chat.completions.create({ model: "demo", messages, ...seeded });
    expect(answer.choices[0]?.message.content).toBe((await answerAlone({ maxTokens: 20, seed: 7 })).text);
  });
});

describe("tools", () => {
  const tools = [
    {
      type: "function" as const,
      function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
    },
  ];
  const messages = [{ role: "user" as const, content: "Weather in Bath and York?" }];
  const call = (city: string): string => `<tool_call>{"name": "get_weather", "arguments": {"city": "${city}"}}</tool_call>`;
  const calls = ["Bath", "York"].map((city) => ({
    type: "function",
    function: { name: "get_weather", arguments: JSON.stringify({ city }) },
  }));

  it("are called, and their answers are read", async () => {
    const scripted = await clientOf(`Let me see. ${call("Bath")}${call("York")}`);
    const [choice] = (await scripted.chat.completions.create({ model: "demo", messages, tools })).choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { tool_calls: calls } });
    expect(choice?.message.content?.trim()).toBe("Let me see.");
    const answers = (choice?.message.tool_calls ?? []).map(({ id }) => ({ role: "tool" as const, tool_call_id: id, content: "rain" }));
    expect(new Set(answers.map(({ tool_call_id }) => tool_call_id)).size).toBe(2);
    const after = await clientOf("It rains.");
    const all = [...messages, ...(choice ? [choice.message] : []), ...answers];
    const [last] = (await after.chat.completions.create({ model: "demo", messages: all, tools })).choices;
    expect(last).toMatchObject({ finish_reason: "stop", message: { content: "It rains." } });
  });

  it("are called in a stream", async () => {
    const scripted = await clientOf(`${call("Bath")}${call("York")}`);
    const stream = scripted.chat.completions.stream({ model: "demo", messages, tools });
    const [choice] = (await stream.finalChatCompletion()).choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { tool_calls: calls } });
  });

  it("are called one at a time where that is asked for", async () => {
    const scripted = await clientOf(`${call("Bath")}${call("York")}`);
    const [choice] = (await scripted.chat.completions.create({ model: "demo", messages, tools, parallel_tool_calls: false })).choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { content: null, tool_calls: calls.slice(0, 1) } });
  });

  it("are not called where tool_choice is none", async () => {
    const scripted = await clientOf(call("Bath"));
    const [choice] = (await scripted.chat.completions.create({ model: "demo", messages, tools, tool_choice: "none" })).choices;
    expect(choice).toMatchObject({ finish_reason: "stop", message: { content: call("Bath") } });
    expect(choice?.message.tool_calls).toBeUndefined();
  });

  it("must not be forced", async () => {
    const scripted = await clientOf("");
    const refused = scripted.chat.completions.create({ model: "demo", messages, tools, tool_choice: "required" });
    await expect(refused).rejects.toThrow(/tool_choice must be "none" or "auto"/);
    await expect(refused).rejects.toBeInstanceOf(APIError);
  });
});

describe("models", () => {
  it("are listed, and found by name", async () => {
    const list = await client.models.list();
    expect(list.data).toMatchObject([{ id: "demo", object: "model", owned_by: "lfmc" }]);
    expect(await client.models.retrieve("demo")).toMatchObject({ id: "demo" });
    await expect(client.models.retrieve("gpt-5")).rejects.toMatchObject({ status: 404, code: "model_not_found" });
    await expect(client.completions.create({ model: "gpt-5", prompt: "a" })).rejects.toMatchObject({ status: 404 });
  });
});
