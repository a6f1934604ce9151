/**
 * Answers a prompt with the text that follows it, as it comes:
 *
 *     deno serve --allow-read --host 127.0.0.1 --port 8000 server.ts
 *     curl -N --data "Emma was" localhost:8000
 *
 * Requests that come at the same time share forward calls, as many as the artefact has sessions; others wait for one.
 */
import { load, SessionPool } from "demo-model";

const model = await load();
const pool = new SessionPool(model);

async function* answer(tokens: readonly number[]): AsyncGenerator<string> {
  const session = await pool.acquire(tokens);
  try {
    const parts = session.generate(tokens.slice(session.position), { maxTokens: 200, temperature: 0 });
    for await (const { text } of parts) yield text;
  } finally {
    pool.release(session);
  }
}

export default {
  async fetch(request) {
    if (request.method !== "POST") return new Response("POST a prompt.\n", { status: 405, headers: { allow: "POST" } });
    const tokens = model.tokenizer.encode(await request.text());
    const { context } = model.manifest.limits;
    if (tokens.length > context) return new Response(`The prompt has ${tokens.length} tokens; ${context} fit.\n`, { status: 413 });
    const text = ReadableStream.from(answer(tokens));
    return new Response(text.pipeThrough(new TextEncoderStream()), { headers: { "content-type": "text/plain; charset=utf-8" } });
  },
} satisfies Deno.ServeDefaultExport;
