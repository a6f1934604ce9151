/** From a request to its answer: who may ask, for what, and how the answer or a refusal is sent. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { allowOrigin, assertHost, assertKey, preflightHeaders, type AccessOptions } from "./access.ts";
import type { Admission } from "./admission.ts";
import { ApiError, apiErrorOf, ClientGone, unavailable } from "./api-error.ts";
import { chatJob } from "./chat-completions.ts";
import { completionJob } from "./completions.ts";
import { EventStream } from "./event-stream.ts";
import { chatSchema, completionSchema, parseFields } from "./fields.ts";
import type { Job } from "./job.ts";
import { readJson } from "./read-body.ts";
import { assertServed, modelEntry, type ServedModel } from "./served-model.ts";

export interface AnswerOptions extends AccessOptions {
  readonly maxBodyBytes: number;
  /** Told of every fault of the server itself. */
  readonly onFault: (error: unknown) => void;
}

interface Ready {
  readonly kind: "ready";
  readonly served: ServedModel;
  readonly admission: Admission;
}

export type State = Ready | { readonly kind: "loading" } | { readonly kind: "stopping" };

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly options: AnswerOptions;
  /** When the request came. */
  readonly state: State;
  /** Aborts where the client leaves or the server stops. */
  readonly signal: AbortSignal;
}

interface Route {
  readonly method: "GET" | "POST";
  readonly path: RegExp;
  answer(exchange: Exchange, ready: Ready, name: string): Promise<void> | void;
}

const routes: readonly Route[] = [
  {
    method: "GET",
    path: /^\/v1\/models$/,
    answer({ response }, { served }) {
      sendJson(response, 200, { object: "list", data: [modelEntry(served)] });
    },
  },
  {
    method: "GET",
    path: /^\/v1\/models\/(.+)$/,
    answer({ response }, { served }, name) {
      assertServed(served, name);
      sendJson(response, 200, modelEntry(served));
    },
  },
  {
    method: "POST",
    path: /^\/v1\/completions$/,
    async answer(exchange, ready) {
      const fields = parseFields(completionSchema, await readJson(exchange.request, exchange.options.maxBodyBytes));
      assertServed(ready.served, fields.model);
      await answerJob(completionJob(ready.served, fields), exchange, ready);
    },
  },
  {
    method: "POST",
    path: /^\/v1\/chat\/completions$/,
    async answer(exchange, ready) {
      const fields = parseFields(chatSchema, await readJson(exchange.request, exchange.options.maxBodyBytes));
      assertServed(ready.served, fields.model);
      await answerJob(chatJob(ready.served, fields), exchange, ready);
    },
  },
];

/** Answers a request, be it with an error. Never rejects. */
export async function answerRequest(exchange: Exchange): Promise<void> {
  try {
    await answer(exchange);
  } catch (error) {
    refuse(exchange, error);
  }
}

async function answer(exchange: Exchange): Promise<void> {
  const { request, response, options, state } = exchange;
  allowOrigin(options.cors, response);
  assertHost(options.host, request.headers);
  if (state.kind === "stopping") response.setHeader("connection", "close");
  // A proxy's form of a request has the server's own address before the path.
  const [path = "/"] = (request.url ?? "/").replace(/^https?:\/\/[^/?]*/i, "").split("?");
  if (path === "/health") {
    sendJson(response, state.kind === "ready" ? 200 : 503, { status: state.kind === "ready" ? "ok" : state.kind });
    return;
  }
  if (request.method === "OPTIONS" && options.cors !== undefined) {
    response.writeHead(204, preflightHeaders).end();
    return;
  }
  assertKey(options.apiKey, request.headers);
  const { route, name } = routeOf(request.method ?? "", path);
  if (state.kind !== "ready") throw unavailable(`The server is ${state.kind}.`, state.kind);
  await route.answer(exchange, state, name);
}

function routeOf(method: string, path: string): { readonly route: Route; readonly name: string } {
  const matches = routes.flatMap((route) => {
    const match = route.path.exec(path);
    return match ? [{ route, name: decoded(match[1] ?? "") }] : [];
  });
  const found = matches.find(({ route }) => route.method === (method === "HEAD" ? "GET" : method));
  if (found) return found;
  const allowed = matches.map(({ route }) => route.method).join(", ");
  if (allowed === "") throw new ApiError(404, "There is nothing at this address.", { code: "unknown_url" });
  throw new ApiError(405, `This address takes ${allowed}.`, { code: "method_not_allowed", headers: { allow: allowed } });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The longest wait for a client that does not read is the request's time, but not less than this. */
const leastDrainSeconds = 5;

async function answerJob(job: Job, { response, signal }: Exchange, { admission }: Ready): Promise<void> {
  const stream = job.stream ? new EventStream(response) : null;
  const whole = await admission.run(job.tokens, signal, async (session, secondsLeft) => {
    const pieces = job.run(session, { signal, maxSeconds: secondsLeft() });
    try {
      for (;;) {
        const next = await pieces.next();
        if (next.done) return next.value;
        await stream?.send(next.value, Math.max(secondsLeft(), leastDrainSeconds));
      }
    } finally {
      // Where the client has left, the generation ends here, and the session is free.
      await pieces.return({});
    }
  });
  if (stream) stream.end();
  else sendJson(response, 200, whole);
}

function refuse({ response, options }: Exchange, error: unknown): void {
  if (isGone(error)) {
    response.destroy();
    return;
  }
  const known = apiErrorOf(error);
  if (!known) options.onFault(error);
  const { status, body, headers } = known ?? new ApiError(500, "The server has failed; its log tells more.");
  if (response.headersSent) new EventStream(response).fail(body);
  else sendJson(response, status, body, headers);
}

function isGone(error: unknown): boolean {
  return error instanceof ClientGone || (error instanceof Error && error.cause instanceof ClientGone);
}

function sendJson(response: ServerResponse, status: number, body: object, headers: Readonly<Record<string, string>> = {}): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers }).end(text);
}
