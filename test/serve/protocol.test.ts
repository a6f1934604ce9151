/** What a server answers to requests that it should not do: the right refusal, in OpenAI's form, and never a fault of its own. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Model } from "../../runtime/index.ts";
import { ask, errorOf, exchange, post, scriptedModel, serve, type Running } from "./support.ts";

const yes = (): Model => scriptedModel("Yes.");
const question = { messages: [{ role: "user", content: "Well?" }], max_tokens: 4 };

describe("addresses", () => {
  it("that are none: 404; other methods: 405", async () => {
    const { url } = await serve(yes());
    const missing = await ask(`${url}/v1/nothing`);
    expect(missing.status).toBe(404);
    expect(errorOf(missing)).toEqual({
      message: "There is nothing at this address.",
      type: "invalid_request_error",
      param: null,
      code: "unknown_url",
    });
    const wrong = await ask(`${url}/v1/completions`);
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
    expect((await ask(`${url}/v1/models`, { method: "DELETE" })).status).toBe(405);
    expect((await ask(`${url}/v1/models/%E0%A4%A`)).status).toBe(404);
  });

  it("answer HEAD as GET, and know no queries", async () => {
    const { url } = await serve(yes());
    expect(await ask(`${url}/v1/models?limit=1`, { method: "HEAD" })).toMatchObject({ status: 200, json: {} });
  });
});

describe("bodies", () => {
  it.each([
    ["no JSON", "{", 400],
    ["nothing", "", 400],
    ["no object", "[]", 400],
    ["too many levels", "[".repeat(500), 400],
    ["too many levels in a field", JSON.stringify({ ...question, x: 0 }).replace("0", `${"[".repeat(70)}${"]".repeat(70)}`), 400],
    ["too many bytes", JSON.stringify({ ...question, x: "a".repeat(2 ** 20) }), 413],
  ])("with %s are refused", async (_, body, status) => {
    const { url } = await serve(yes());
    const answer = await post(`${url}/v1/chat/completions`, body);
    expect(answer.status).toBe(status);
    expect(errorOf(answer).type).toBe("invalid_request_error");
  });

  it("must be JSON by their type, as they are, in UTF-8", async () => {
    const { url } = await serve(yes());
    const path = `${url}/v1/chat/completions`;
    expect((await post(path, question, { headers: { "content-type": "text/plain" } })).status).toBe(415);
    expect((await post(path, question, { headers: { "content-type": "application/json", "content-encoding": "gzip" } })).status).toBe(415);
    expect((await post(path, question, { headers: { "content-type": "application/json; charset=utf-8" } })).status).toBe(200);
    expect((await post(path, "", { body: new Uint8Array([0x22, 0xff, 0x22]) })).status).toBe(400);
  });

  it("that are too large are not kept where their length is not announced", async () => {
    const { url } = await serve(yes(), { maxBodyBytes: 1000 });
    let left = 50;
    const pieces = new ReadableStream<Uint8Array>({
      pull(stream) {
        if (left-- > 0) stream.enqueue(new Uint8Array(1000).fill(0x61));
        else stream.close();
      },
    });
    const init: RequestInit & { readonly duplex: "half" } = { body: pieces, duplex: "half" };
    expect((await post(`${url}/v1/completions`, "", init)).status).toBe(413);
  });
});

describe("fields", () => {
  const cases: readonly (readonly [path: string, fields: object, param: string | null])[] = [
    ["chat/completions", { messages: [] }, "messages"],
    ["chat/completions", { messages: undefined }, "messages"],
    ["chat/completions", { messages: [{ role: "wizard", content: "" }] }, "messages.0.role"],
    ["chat/completions", { messages: [{ role: "user" }] }, "messages.0.content"],
    ["chat/completions", { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }, "messages.0.content"],
    ["chat/completions", { max_tokens: 0 }, "max_tokens"],
    ["chat/completions", { max_tokens: -1 }, "max_tokens"],
    ["chat/completions", { max_completion_tokens: 1.5 }, "max_completion_tokens"],
    ["chat/completions", { max_tokens: 1e308 }, "max_tokens"],
    ["chat/completions", { temperature: -0.1 }, "temperature"],
    ["chat/completions", { temperature: "hot" }, "temperature"],
    ["chat/completions", { top_p: 1.1 }, "top_p"],
    ["chat/completions", { top_k: -40 }, "top_k"],
    ["chat/completions", { seed: -1 }, "seed"],
    ["chat/completions", { stop: Array.from({ length: 17 }, () => "a") }, "stop"],
    ["chat/completions", { stop: [""] }, "stop"],
    ["chat/completions", { logit_bias: { "5": 101 } }, "logit_bias.5"],
    ["chat/completions", { logit_bias: { five: 1 } }, "logit_bias.five"],
    ["chat/completions", { n: 2 }, "n"],
    ["chat/completions", { frequency_penalty: 0.5 }, "frequency_penalty"],
    ["chat/completions", { presence_penalty: 1 }, "presence_penalty"],
    ["chat/completions", { functions: [] }, "functions"],
    ["chat/completions", { top_logprobs: 3 }, "top_logprobs"],
    ["chat/completions", { logprobs: true, top_logprobs: 21 }, "top_logprobs"],
    ["chat/completions", { tools: [{ type: "function", function: { name: "a b" } }] }, "tools.0.function.name"],
    ["chat/completions", { tools: [{ type: "function", function: { name: "a", parameters: [] } }] }, "tools.0.function.parameters"],
    ["chat/completions", { response_format: { type: "xml" } }, "response_format.type"],
    ["chat/completions", { response_format: { type: "json_schema" } }, "response_format.json_schema"],
    ["chat/completions", { stream_options: 5 }, "stream_options"],
    ["chat/completions", { decode: "magic" }, "decode"],
    ["completions", { prompt: undefined }, "prompt"],
    ["completions", { prompt: [] }, "prompt"],
    ["completions", { prompt: ["a", "b"] }, "prompt"],
    ["completions", { prompt: [-1] }, "prompt"],
    ["completions", { logprobs: 21 }, "logprobs"],
    ["completions", { best_of: 3 }, "best_of"],
    ["completions", { echo: true }, "echo"],
    ["completions", { suffix: "end" }, "suffix"],
  ];

  it.each(cases)("%s %j: 400 about %s", async (path, fields, param) => {
    const { url } = await serve(yes());
    const answer = await post(`${url}/v1/${path}`, { ...(path === "completions" ? { prompt: "a" } : question), ...fields });
    expect(answer.status).toBe(400);
    expect(errorOf(answer)).toMatchObject({ type: "invalid_request_error", param });
  });

  it("say in words what they must be", async () => {
    const { url } = await serve(yes());
    const messageOf = async (fields: object): Promise<unknown> =>
      errorOf(await post(`${url}/v1/chat/completions`, { ...question, ...fields })).message;
    expect(await messageOf({ temperature: 3 })).toBe("temperature must be a number from 0 to 2.");
    expect(await messageOf({ messages: undefined })).toBe("messages must be given.");
    expect(await messageOf({ n: 2 })).toBe("n must be 1: nothing else is supported here.");
  });

  it("that nothing knows, that are null, and that say what is done anyway are fine", async () => {
    const { url } = await serve(yes());
    const fields = {
      user: "me",
      store: true,
      temperature: null,
      tools: null,
      n: 1,
      frequency_penalty: 0,
      parallel_tool_calls: true,
      seed: 5,
    };
    expect((await post(`${url}/v1/chat/completions`, { ...question, ...fields })).status).toBe(200);
    expect((await post(`${url}/v1/completions`, { prompt: "a", echo: false, best_of: 1, suffix: null })).status).toBe(200);
  });

  it.each([
    ["of tokens", "256 tokens", { prompt: Array.from({ length: 256 }, () => 5) }],
    ["of a text", "303 tokens", { prompt: "word ".repeat(300) }],
    ["of a text far too long to encode", "900000 characters", { prompt: "a".repeat(900_000) }],
  ])("prompts that do not fit the context, %s: 400", async (_, length, fields) => {
    const { url } = await serve(yes());
    const message = expect.stringContaining(`The prompt has ${length};`) as string;
    expect(errorOf(await post(`${url}/v1/completions`, fields))).toMatchObject({ code: "context_length_exceeded", message });
  });

  it("tokens that are none of the vocabulary: 400", async () => {
    const { url } = await serve(yes());
    expect((await post(`${url}/v1/completions`, { prompt: [4096] })).status).toBe(400);
    expect((await post(`${url}/v1/completions`, { prompt: [5], logit_bias: { "4096": 1 } })).status).toBe(400);
  });

  it("a conversation, where the model has no template: 400 with the way out", async () => {
    const { server, url } = await serve(null);
    server.serve({ model: yes(), id: "demo", created: 1, template: undefined });
    const answer = await post(`${url}/v1/chat/completions`, question);
    expect(answer.status).toBe(400);
    expect(errorOf(answer).message).toMatch(/has no chat template.*chat_template\.jinja/);
  });
});

describe("whatever a body holds", () => {
  const names = [
    "messages",
    "prompt",
    "max_tokens",
    "temperature",
    "stop",
    "logit_bias",
    "tools",
    "response_format",
    "logprobs",
    "stream",
    "seed",
    "decode",
  ];
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(1e308, -1, 0.5, 2 ** 53, "\ud800", "__proto__", "<|im_start|>", null, [[]], {}),
  );
  const fields = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), odd, { maxKeys: 4 });
  const valid = { ...question, prompt: "a" };

  /** Answers of the server's own fault are 500; those of its state, 503 and 504, can't come here. */
  const check = async ({ url, faults }: Running, body: string): Promise<void> => {
    for (const path of ["chat/completions", "completions"]) {
      const response = await fetch(`${url}/v1/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body });
      const text = await response.text();
      expect([path, body, response.status < 500, faults.length]).toEqual([path, body, true, 0]);
      if (response.status !== 200) expect(JSON.parse(text)).toMatchObject({ error: { type: "invalid_request_error" } });
    }
  };

  it("fields of any kind get an answer or a refusal", async () => {
    const running = await serve(yes());
    await fc.assert(
      fc.asyncProperty(fields, (given) => check(running, JSON.stringify({ ...valid, ...given }))),
      { numRuns: 80 },
    );
  });

  it("and so do broken texts", async () => {
    const running = await serve(yes());
    const whole = JSON.stringify(valid);
    const broken = fc.tuple(fc.nat(whole.length), fc.nat(4), fc.string({ maxLength: 4, unit: "binary" }));
    await fc.assert(
      fc.asyncProperty(broken, ([at, cut, put]) => check(running, whole.slice(0, at) + put + whole.slice(at + cut))),
      { numRuns: 80 },
    );
  });
});

describe("those who may not ask", () => {
  it("have no key, or a wrong one: 401; health needs none", async () => {
    const { url } = await serve(yes(), { apiKey: "right" });
    const status = async (authorization?: string): Promise<number> =>
      (await ask(`${url}/v1/models`, { headers: authorization === undefined ? {} : { authorization } })).status;
    expect(await status()).toBe(401);
    expect(await status("Bearer wrong")).toBe(401);
    expect(await status("right")).toBe(401);
    expect(await status("Bearer right")).toBe(200);
    expect(await status("bearer right")).toBe(200);
    expect(await ask(`${url}/health`)).toMatchObject({ status: 200, json: { status: "ok" } });
    expect((await ask(`${url}/v1/nothing`)).status).toBe(401);
  });

  it("call a server of this machine by another name: 403", async () => {
    const { url } = await serve(yes());
    const statusFor = async (host: string): Promise<string> =>
      (await exchange(url, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).slice(9, 12);
    expect(await Promise.all(["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"].map(statusFor))).toEqual(["200", "200", "200", "200"]);
    expect(await Promise.all(["evil.example", "localhost.evil.example:80", "127.evil", "127.0.0.1.evil:1"].map(statusFor))).toEqual([
      "403",
      "403",
      "403",
      "403",
    ]);
  });

  it("may use any name where it is bound to all addresses", async () => {
    const { server } = await serve(yes(), { host: "0.0.0.0" });
    const url = server.url.replace("0.0.0.0", "127.0.0.1");
    expect(await exchange(url, "GET /health HTTP/1.1\r\nHost: server.example\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1.1 200/);
  });

  it("are pages, unless --cors lets them", async () => {
    const { url } = await serve(yes());
    expect((await ask(`${url}/health`)).headers.get("access-control-allow-origin")).toBeNull();
    expect((await ask(`${url}/v1/models`, { method: "OPTIONS" })).status).toBe(405);
    const { url: open } = await serve(yes(), { cors: "https://a.example", apiKey: "key" });
    const preflight = await ask(`${open}/v1/chat/completions`, { method: "OPTIONS" });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("authorization");
    expect((await ask(`${open}/v1/models`)).headers.get("access-control-allow-origin")).toBe("https://a.example");
  });

  it("do not speak HTTP", async () => {
    const { url } = await serve(yes());
    expect(await exchange(url, "hello\r\n\r\n")).toMatch(/^HTTP\/1.1 400/);
    expect(await exchange(url, `GET /health HTTP/1.1\r\nX: ${"a".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431/);
  });
});
