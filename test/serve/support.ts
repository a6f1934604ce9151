/** Servers for tests, in this process: of the demo model, and of a fake one that says what a script has it say. */
import { createConnection } from "node:net";
import { expect, onTestFinished } from "vitest";
import { startServer, type ApiServer, type ServerOptions } from "../../compiler/serve/server.ts";
import { createChatTemplate, templateTokens } from "../../runtime/chat/index.ts";
import { createModel, type Model } from "../../runtime/index.ts";
import { record } from "../cli/support.ts";
import { demoTokenizer, fakeEngine, fakeManifest, fakeModel, type FakeShape, type Script } from "../runtime/support.ts";

/** ChatML, which the demo model's tokenizer has the tokens of; calls of tools between tags, as JSON. */
export const chatTemplate = `{{ bos_token }}{% if tools %}<|im_start|>system
{{ tools | tojson }} Answer with <tool_call>.<|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;

export interface Running {
  readonly server: ApiServer;
  readonly url: string;
  /** What the server called faults of its own. */
  readonly faults: readonly unknown[];
}

/** A server of the model on any port. Its pool takes the model's sessions, so a model is served once. */
export async function start(model: Model | null, options: Partial<ServerOptions> = {}): Promise<Running> {
  const faults: unknown[] = [];
  const server = await startServer({
    host: "127.0.0.1",
    port: 0,
    maxQueue: 256,
    maxBodyBytes: 2 ** 20,
    timeoutSeconds: 60,
    onFault: (error) => void faults.push(error),
    ...options,
  });
  if (model) serveModel(server, model);
  return { server, url: server.url, faults };
}

/** The same until the test ends, which fails where the server called something a fault of its own. */
export async function serve(model: Model | null, options: Partial<ServerOptions> = {}): Promise<Running> {
  const running = await start(model, options);
  onTestFinished(async () => {
    await running.server.stop(0);
    expect(running.faults).toEqual([]);
  });
  return running;
}

export function serveModel(server: ApiServer, model: Model): void {
  const template = createChatTemplate(chatTemplate, templateTokens(model.manifest, model.tokenizer));
  server.serve({ model, id: "demo", created: 1, template });
}

const tokenizer = demoTokenizer();
const roleTokens = tokenizer.encode("assistant\n", { addBos: false });
const [turnStart, end] = [6, 2];

/** A model with the demo model's vocabulary that answers every conversation with this text; other prompts go on without end. */
export function scriptedModel(text: string, shape: FakeShape = {}): Model {
  const answer = [...tokenizer.encode(text, { addBos: false }), end];
  const script: Script = (history) => {
    const begin = history.lastIndexOf(turnStart);
    if (begin < 0) return 300 + (history.length % 50);
    return answer[history.length - begin - 1 - roleTokens.length] ?? end;
  };
  const limits = { vocabSize: 4096, eos: [end], context: 256, prefillChunk: 32, logitRows: 16, sessions: 2, rewind: 8 };
  return fakeModel({ ...limits, ...shape }, script, tokenizer).model;
}

/** A model without a tokenizer, whose forward calls take so many milliseconds and block the process as real ones do. */
export function slowModel(milliseconds: number, shape: FakeShape = {}, onCall?: () => void): Model {
  const limits = { vocabSize: 64, context: 256, prefillChunk: 4, logitRows: 4, sessions: 2, rewind: 2 };
  const manifest = fakeManifest({ ...limits, ...shape });
  const engine = fakeEngine(manifest, (history) => 3 + (history.length % 50));
  const forward = (rows: number, logits: number): void => {
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
    engine.forward(rows, logits);
    onCall?.();
  };
  return createModel({ manifest, engine: { ...engine, forward }, tokenizer: null });
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Posts JSON, or a text as it is. */
export async function post(url: string, body: unknown, init: RequestInit = {}): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return await ask(url, { method: "POST", headers: { "content-type": "application/json" }, body: text, ...init });
}

export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text === "" ? {} : record(JSON.parse(text)) };
}

/** The answer's error, as the client sees it. */
export function errorOf({ json }: Answer): Readonly<Record<string, unknown>> {
  return record(json.error);
}

/** All that a server says to these bytes, until it ends the connection. */
export function exchange(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = createConnection(Number(port), hostname, () => socket.write(bytes));
    let text = "";
    socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    socket.on("error", reject).on("close", () => {
      resolve(text);
    });
  });
}

/** Waits for something to be so, at most five seconds. */
export async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 5000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error("it never came to be");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
