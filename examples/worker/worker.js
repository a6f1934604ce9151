/**
 * An edge worker with a language model in it. `POST /generate` with `{ prompt, maxTokens?, temperature?, seed? }` answers with a stream of
 * events: `data: {"text": …}` for each piece of text, and a last one that says why it ended.
 *
 * The model lives in a Durable Object: its requests share one context, so they may wait for one another, share forward calls (as many as the
 * artefact has sessions; others wait for one), and leave without harm to the others. Requests of a plain worker must not: the context of one that
 * leaves takes timers with it on which others have come to depend.
 */
import { LfmcError, SessionPool, load } from "./model/worker.js";

const help = 'POST /generate {"prompt": "It is a truth", "maxTokens": 64, "temperature": 0.7, "seed": 1}\n';
const mostBodyCharacters = 65536;
const mostTokens = 2048;

export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response(help);
    if (pathname !== "/generate") return refusal(404, "There is only / and /generate here.");
    if (request.method !== "POST") return refusal(405, "Use POST.", { allow: "POST" });
    // A model for each of Cloudflare's locations; workerd has no such thing.
    return env.MODEL.getByName(request.cf?.colo ?? "here").fetch(request);
  },
};

/** One model, which the first request loads: a worker may fetch nothing while it starts. */
export class Model {
  #assets;
  #opening = null;

  constructor(_state, { ASSETS }) {
    this.#assets = ASSETS;
  }

  async fetch(request) {
    try {
      const { prompt, ...options } = await readQuestion(request);
      const { tokenizer, pool } = await this.#open();
      return await answer(tokenizer.encode(prompt), options, pool);
    } catch (error) {
      if (error instanceof Refused) return refusal(error.status, error.message);
      if (error instanceof LfmcError && refusedInputs.has(error.code)) return refusal(400, `${error.message}. ${error.hint}`);
      console.error(error);
      return refusal(500, "The model cannot be run.");
    }
  }

  /** A load that failed is tried again by the next request. */
  #open() {
    this.#opening ??= load({ weights: (_index, { path }) => this.#assets.fetch(`http://assets/${path}`) })
      .then((model) => ({ tokenizer: model.tokenizer, pool: new SessionPool(model) }))
      .catch((error) => {
        this.#opening = null;
        throw error;
      });
    return this.#opening;
  }
}

/** Codes of what is the caller's own fault. */
const refusedInputs = new Set(["run/input", "run/context"]);

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function refusal(status, error, headers = {}) {
  return Response.json({ error }, { status, headers });
}

async function readQuestion(request) {
  const question = parse(await readText(request.body));
  if (typeof question?.prompt !== "string" || question.prompt === "") throw new Refused(400, "`prompt` must be a text.");
  const { prompt, maxTokens = 64, temperature, seed } = question;
  if (!Number.isInteger(maxTokens) || maxTokens > mostTokens)
    throw new Refused(400, `\`maxTokens\` must be a whole number of at most ${mostTokens}.`);
  // The runtime checks the rest.
  return { prompt, maxTokens, temperature, seed };
}

/** A body of any length must not fill the memory that the model lives in. */
async function readText(body) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > mostBodyCharacters) throw new Refused(413, `The body has more than ${mostBodyCharacters} characters.`);
  }
  return text + decoder.decode();
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused(400, "The body is not JSON.");
  }
}

/** A stream of what the model writes, as fast as the client reads. */
async function answer(tokens, options, pool) {
  const stream = events(tokens, options, pool);
  // What is wrong with the question shows here, before a status is sent.
  let next = await stream.next();
  const body = new ReadableStream({
    async pull(controller) {
      if (next.done) {
        controller.close();
        return;
      }
      controller.enqueue(next.value);
      next = await stream.next();
    },
    // The client has left.
    cancel: () => stream.return(),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}

async function* events(tokens, options, pool) {
  const session = await pool.acquire(tokens);
  try {
    for await (const { text } of session.generate(tokens.slice(session.position), options)) if (text !== "") yield event({ text });
    const { stopReason, seed, stats } = session.result;
    yield event({ stopReason, seed, generatedTokens: stats.generatedTokens });
  } finally {
    pool.release(session);
  }
}

const encoder = new TextEncoder();

function event(data) {
  return encoder.encode(`data: ${JSON.stringify(data)}\n\n`);
}
