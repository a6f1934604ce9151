/** Requests over time: those that wait, come late, are left by their client, do not end, or meet a server that stops. */
import { createConnection } from "node:net";
import { createServer, get } from "node:http";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { Admission } from "../../compiler/serve/admission.ts";
import { EventStream } from "../../compiler/serve/event-stream.ts";
import { apiErrorOf, ClientGone } from "../../compiler/serve/api-error.ts";
import { SessionPool } from "../../runtime/index.ts";
import { record } from "../cli/support.ts";
import { ask, errorOf, exchange, post, scriptedModel, serve, serveModel, slowModel, until } from "./support.ts";

/** As long as the context holds: a second and more of a slow model. */
const long = { prompt: [5], max_tokens: 200 };

/** Begins a stream; resolves when its first piece has come. */
async function beginStream(url: string, maxTokens = 200): Promise<{ readonly rest: () => Promise<string>; readonly leave: () => void }> {
  const abort = new AbortController();
  const init = { method: "POST", headers: { "content-type": "application/json" }, signal: abort.signal };
  const response = await fetch(`${url}/v1/completions`, {
    ...init,
    body: JSON.stringify({ prompt: [5], max_tokens: maxTokens, logprobs: 0, stream: true }),
  });
  const reader = response.body?.getReader();
  if (!reader) throw new Error("no body");
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value);
  return {
    leave: () => {
      abort.abort();
    },
    async rest() {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return text;
        text += decoder.decode(value);
      }
    },
  };
}

describe("a server that loads its model", () => {
  it("says so, then serves", async () => {
    const { server, url } = await serve(null);
    expect(await ask(`${url}/health`)).toMatchObject({ status: 503, json: { status: "loading" } });
    const early = await post(`${url}/v1/completions`, long);
    expect([early.status, early.headers.get("retry-after"), errorOf(early).code]).toEqual([503, "1", "loading"]);
    serveModel(server, scriptedModel("Yes."));
    expect(await ask(`${url}/health`)).toMatchObject({ status: 200, json: { status: "ok" } });
  });
});

describe("the queue", () => {
  it("holds so many, and refuses the next: 503", async () => {
    const { url } = await serve(slowModel(5, { sessions: 1 }), { maxQueue: 2 });
    const short = { prompt: [5], max_tokens: 20 };
    const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await post(`${url}/v1/completions`, short)).status));
    expect(statuses.toSorted()).toEqual([200, 200, 200, 503, 503]);
    expect((await post(`${url}/v1/completions`, short)).status).toBe(200);
  });

  it("is left by those whose time is over: 504", async () => {
    const pool = new SessionPool(slowModel(0, { sessions: 1 }));
    const admission = new Admission(pool, { sessions: 1, maxQueue: 1, timeoutSeconds: 0.05 });
    const session = await pool.acquire([5]);
    const late = admission.run([5], new AbortController().signal, () => Promise.resolve("answered"));
    expect(await late.catch(apiErrorOf)).toMatchObject({ status: 504, code: "timeout" });
    expect([admission.admitted, pool.waiting]).toEqual([0, 0]);
    pool.release(session);
    expect(await admission.run([5], new AbortController().signal, () => Promise.resolve("answered"))).toBe("answered");
  });
});

describe("the time of a request", () => {
  it("ends its answer as the most tokens do", async () => {
    const { url } = await serve(slowModel(5), { timeoutSeconds: 0.2 });
    const { status, json } = await post(`${url}/v1/completions`, long);
    expect(status).toBe(200);
    expect(json).toMatchObject({ choices: [{ finish_reason: "length" }] });
    expect(record(json.usage).completion_tokens).toBeLessThan(60);
  });

  it("that ends while the prompt is read: 504", async () => {
    const { url } = await serve(slowModel(20), { timeoutSeconds: 0.2 });
    const prompt = Array.from({ length: 200 }, () => 5);
    expect((await post(`${url}/v1/completions`, { prompt, stream: true })).status).toBe(504);
  });
});

describe("a client that leaves", () => {
  it("frees its session at once", async () => {
    let calls = 0;
    const { server, url } = await serve(slowModel(5, { sessions: 1 }, () => calls++));
    const stream = await beginStream(url);
    stream.leave();
    expect((await post(`${url}/v1/completions`, { prompt: [5], max_tokens: 1 })).status).toBe(200);
    expect(calls).toBeLessThan(100);
    await until(() => server.running === 0);
  });

  it("leaves the queue", async () => {
    const { server, url } = await serve(slowModel(5, { sessions: 1 }), { maxQueue: 1 });
    const stream = await beginStream(url, 60);
    const abort = new AbortController();
    const waiting = post(`${url}/v1/completions`, long, { signal: abort.signal });
    await until(() => server.running === 2);
    abort.abort();
    await expect(waiting).rejects.toThrow();
    await until(() => server.running === 1);
    const next = post(`${url}/v1/completions`, { prompt: [5], max_tokens: 1 });
    await stream.rest();
    expect((await next).status).toBe(200);
  });

  it("in the middle of its request is forgotten", async () => {
    const { server, url, faults } = await serve(scriptedModel("Yes."));
    const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
    socket.write("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
    await until(() => server.running === 1);
    socket.destroy();
    await until(() => server.running === 0);
    expect(faults).toEqual([]);
  });
});

describe("a client that takes its time", () => {
  it.each([
    ["with the head", "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"],
    ["with the body", "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"],
  ])("%s: 408", async (_, begun) => {
    const { server, url } = await serve(scriptedModel("Yes."), { requestSeconds: 0.2 });
    expect(await exchange(url, begun)).toMatch(/^HTTP\/1.1 408/);
    await until(() => server.running === 0);
  });
});

describe("a client that does not read", () => {
  it("holds up the stream, and is dropped after a time", async () => {
    let outcome: unknown = null;
    let sent = 0;
    const server = createServer((_, response) => {
      const stream = new EventStream(response);
      const send = async (): Promise<void> => {
        for (; sent < 10_000; sent++) await stream.send({ text: "a".repeat(65_536) }, 0.2);
      };
      send().catch((error: unknown) => (outcome = error));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const request = get({ port: typeof address === "object" ? address?.port : 0 }, (response) => response.pause());
    request.on("error", () => undefined);
    await until(() => outcome !== null);
    expect(outcome).toBeInstanceOf(ClientGone);
    expect(sent).toBeLessThan(1000);
    request.destroy();
    server.close();
  });
});

describe("a server that stops", () => {
  it("takes no more, says so, and lets the others end", async () => {
    const { server, url } = await serve(slowModel(5, { sessions: 1 }));
    const stream = await beginStream(url, 60);
    const waiting = post(`${url}/v1/completions`, { prompt: [5], max_tokens: 1 });
    await until(() => server.running === 2);
    const stopped = server.stop(10);
    expect(await ask(`${url}/health`)).toMatchObject({ status: 503, json: { status: "stopping" } });
    const late = await post(`${url}/v1/completions`, long);
    expect([late.status, errorOf(late).code, late.headers.get("connection")]).toEqual([503, "stopping", "close"]);
    expect(await stream.rest()).toMatch(/"finish_reason":"length".*\n\ndata: \[DONE\]\n\n$/s);
    expect((await waiting).status).toBe(200);
    await stopped;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it("ends those that take longer than it waits, with an error", async () => {
    const { server, url, faults } = await serve(slowModel(5, { sessions: 1, context: 4096 }));
    const stream = await beginStream(url, 4000);
    const waiting = post(`${url}/v1/completions`, long);
    await until(() => server.running === 2);
    const begin = performance.now();
    const [rest, { status }] = await Promise.all([stream.rest(), waiting, server.stop(0.2)]);
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(rest).toMatch(/data: \{"error":\{"message":"The server is stopping."[^\n]*\n\n$/);
    expect(rest).not.toContain("[DONE]");
    expect(status).toBe(503);
    expect(faults).toEqual([]);
  });
});
