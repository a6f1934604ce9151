/**
 * What every platform runs, imported unchanged: a page, an edge worker and the engines with a command line differ only in how they start
 * it. It takes the `load` of an artefact and says what came out, as plain data.
 *
 *     case:    { prompt, count, variant, threads }   prompt: text, or token ids where the artefact has no tokenizer; variant: null for best
 *     outcome: { lacks }                             why this platform cannot run the case
 *            | { variant, ids, text, logits }        ids: the prompt's and `count` greedy ones, the latter's text; logits: their sha256
 */
export async function runCases(load, cases) {
  const outcomes = [];
  for (const each of cases) outcomes.push(await runCase(load, each));
  return outcomes;
}

async function runCase(load, { prompt, count, variant, threads }) {
  let model;
  try {
    model = await load({ variant: variant ?? undefined, threads, verify: true });
  } catch (error) {
    if (error.code === "run/variant") return { lacks: error.message };
    throw error;
  }
  try {
    const { name } = model.variant;
    if (name !== (variant ?? name)) throw new Error(`${name} runs instead of ${variant}`);
    if (model.threads !== threads) return { lacks: `runs ${model.threads} thread instead of ${threads}` };
    const { ids, text } = await greedy(model, prompt, count);
    return { variant: name, ids, text, logits: await logitsOf(model, ids, count) };
  } finally {
    await model.dispose();
  }
}

async function greedy(model, prompt, count) {
  const session = model.createSession();
  const { tokens, text } = await session.complete(prompt, { maxTokens: count, temperature: 0, ignoreEos: true });
  const ids = [...session.tokens];
  session.release();
  if (tokens.length !== count) throw new Error(`${tokens.length} tokens instead of ${count}`);
  return { ids, text };
}

/** The sha256 of the logits after every token as f32 bytes: the prompt's from calls of many rows, the others' from calls of one. */
async function logitsOf(model, ids, count) {
  const { vocabSize } = model.manifest.model;
  const { prefillChunk, logitRows } = model.manifest.limits;
  const values = new Float32Array(ids.length * vocabSize);
  // A new session's slot holds no past.
  const session = model.createSession();
  for (let start = 0; start < ids.length;) {
    const rest = ids.length - count - start;
    const rows = ids.slice(start, start + Math.max(1, Math.min(rest, prefillChunk, logitRows)));
    const found = model.forward(rows.map((token, i) => ({ token, slot: 0, position: start + i, wantsLogits: true })));
    found.forEach((row, i) => values.set(row, (start + i) * vocabSize));
    start += rows.length;
  }
  session.release();
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", values))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
