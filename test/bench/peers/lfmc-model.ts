/** lfmc's own repetition, in Node as in a page: through sessions, as programs use them. */
import type { Model, Session } from "../../../runtime/index.ts";
import { firstPrompt, promptTokens } from "./prompt.ts";
import type { Repetition, Work } from "./figures.ts";

const warmUpMilliseconds = 1000;

/** Measures the model that `open` loads, in a process or page that began at `startedAt`. Throws an Error where it runs fewer threads. */
export async function measureModel(open: () => Promise<Model>, work: Work, startedAt: number): Promise<Repetition> {
  const model = await open();
  if (work.threads > 1 && !model.variant?.threads) throw new Error(`runs a single thread, not ${work.threads}`);
  const session = model.createSession();
  const tokens = promptTokens(Math.max(firstPrompt, work.prompt, work.depth + 1), model.manifest.model.vocabSize);
  await decode(session, tokens.slice(0, firstPrompt), 0);
  const firstTokenSeconds = (Date.now() - startedAt) / 1000;
  await warmUp(session, tokens.slice(0, model.manifest.limits.prefillChunk));

  session.reset();
  const prefill = work.depth === 0 ? await prefillRate(session, tokens.slice(0, work.prompt)) : null;
  session.reset();
  await session.prefill(tokens.slice(0, work.depth));
  const samples: number[] = [];
  for (let i = 0; i < work.samples; i++) samples.push(await decode(session, tokens.slice(work.depth, work.depth + 1), work.decode));
  await model.dispose();
  return { firstTokenSeconds: work.depth === 0 ? firstTokenSeconds : null, prefill, decode: samples };
}

/** Tokens a second. */
async function prefillRate(session: Session, tokens: readonly number[]): Promise<number> {
  const begin = performance.now();
  await session.prefill(tokens);
  return (1000 * tokens.length) / (performance.now() - begin);
}

/** Reads `prompt` and decodes one token, then `count` more, whose rate is returned, in tokens a second. */
async function decode(session: Session, prompt: readonly number[], count: number): Promise<number> {
  const times: number[] = [];
  for await (const _ of session.generate(prompt, { maxTokens: count + 1, temperature: 0, ignoreEos: true })) times.push(performance.now());
  const [begin = NaN, end = NaN] = [times[0], times.at(-1)];
  return (1000 * count) / (end - begin);
}

/** Runs both kinds of call until the engine's optimising compiler, which works beside, has surely replaced the first code. */
async function warmUp(session: Session, chunk: readonly number[]): Promise<void> {
  const begin = performance.now();
  do {
    session.reset();
    await decode(session, chunk, 2);
  } while (performance.now() - begin < warmUpMilliseconds);
}
