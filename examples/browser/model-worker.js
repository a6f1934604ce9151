/**
 * Runs the model apart from the page, which so stays smooth. One message to it or from it is one object; `type` says which.
 *
 * To the worker:
 *   load    { folder, threads }           the artefact's folder, a URL that ends in a slash; once, and first
 *   ask     { text, maxTokens, seed }     what the user wrote, and how the answer is to be sampled
 *   stop    {}                            ends the answer that is running, and keeps what is there of it
 *   forget  {}                            begins anew
 *
 * From the worker:
 *   progress  { loadedBytes, totalBytes }                      of the weights
 *   ready     { name, chats, variant, threads, memoryBytes, context }
 *   text      { text, tokensPerSecond, position }              as the answer comes
 *   done      { reason, tokensPerSecond, position }            eos, stop, length, context, or stopped by the user
 *   failed    { fact, hint }                                   of what was asked for last; a failed load needs another worker
 */

/** The model's way to answer, once it is loaded. */
let partner = null;
let running = null;

const handlers = { load, ask, stop: () => running?.abort(), forget: () => partner.forget() };

addEventListener("message", async ({ data: { type, ...rest } }) => {
  try {
    await handlers[type](rest);
  } catch (error) {
    postMessage({ type: "failed", fact: error.message, hint: error.hint ?? "" });
  }
});

async function load({ folder, threads }) {
  const artefact = await import(`${folder}index.js`);
  const manifest = await (await fetch(`${folder}manifest.json`)).json();
  const model = await artefact.load({
    manifest,
    threads: manifest.variants.some((variant) => variant.threads) ? threads : 1,
    onProgress: ({ loadedBytes, totalBytes }) => postMessage({ type: "progress", loadedBytes, totalBytes }),
  });
  const { name, files, memory, limits } = model.manifest;
  // Templates come in a module of their own, which models without one never fetch.
  const chats = files.chatTemplate !== null;
  partner = chats ? conversation(model, await import(`${folder}chat.js`)) : story(model);
  postMessage({
    type: "ready",
    name,
    chats,
    variant: model.variant.name,
    threads: model.threads,
    memoryBytes: memory.bytes + (model.threads > 1 ? model.threads * memory.threadBytes : 0),
    context: limits.context,
  });
}

async function ask({ text, ...options }) {
  running = new AbortController();
  const { signal } = running;
  let firstAt = 0;
  let tokens = 0;
  const figures = () => ({
    tokensPerSecond: tokens > 1 ? ((tokens - 1) * 1000) / (performance.now() - firstAt) : 0,
    position: partner.session.position,
  });
  try {
    for await (const part of partner.answer(text, { ...options, signal })) {
      if (tokens++ === 0) firstAt = performance.now();
      postMessage({ type: "text", text: part.text ?? "", ...figures() });
    }
    postMessage({ type: "done", reason: partner.session.stopReason, ...figures() });
  } catch (error) {
    if (!signal.aborted) throw error;
    postMessage({ type: "done", reason: "stopped", ...figures() });
  } finally {
    running = null;
  }
}

/** A model without a chat template goes on with one text, which user and model write in turns. */
function story(model) {
  const session = model.createSession();
  return {
    session,
    answer: (text, options) => session.generate(text, options),
    forget: () => session.reset(),
  };
}

/** A model with one has a conversation. The session keeps what was said, so that only what is new is read. */
function conversation(model, { chat }) {
  const session = model.createSession();
  let messages = [];
  return {
    session,
    async *answer(text, options) {
      const before = messages;
      const question = { role: "user", content: text };
      let content = "";
      try {
        for await (const part of chat(model, session, [...before, question], options)) {
          content += part.text ?? "";
          yield part;
        }
      } finally {
        messages = content === "" ? before : [...before, question, { role: "assistant", content }];
      }
    },
    forget() {
      messages = [];
      session.reset();
    },
  };
}
