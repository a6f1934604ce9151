/** node-llama-cpp in Node, with token ids through its sequence. */
import { promptTokens, firstPrompt } from "../prompt.ts";
import { contextOf, type Repetition } from "../figures.ts";
import { readJob } from "./job.ts";

/** What is used of the package, which the root does not install. */
interface NodeLlamaCpp {
  getLlama(options: Readonly<Record<string, unknown>>): Promise<Llama>;
}

interface Llama {
  loadModel(options: { readonly modelPath: string }): Promise<Model>;
}

interface Model {
  readonly fileInfo: { readonly metadata: { readonly tokenizer: { readonly ggml: { readonly tokens: readonly unknown[] } } } };
  createContext(options: Readonly<Record<string, number>>): Promise<{ getSequence(): Sequence }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: Readonly<Record<string, unknown>>): AsyncIterableIterator<number>;
}

const { path, startedAt, ...work } = readJob();
const packageName = "node-llama-cpp";
const nodeLlamaCpp = (await import(packageName)) as NodeLlamaCpp;
const llama = await nodeLlamaCpp.getLlama({ gpu: false, build: "never", progressLogs: false, logLevel: "error", maxThreads: work.threads });
const model = await llama.loadModel({ modelPath: path });
const context = await model.createContext({ contextSize: contextOf(work) + 64, threads: work.threads, batchSize: 512 });
const sequence = context.getSequence();
const tokens = promptTokens(Math.max(firstPrompt, work.prompt, work.depth + 1), model.fileInfo.metadata.tokenizer.ggml.tokens.length);

await decode(tokens.slice(0, firstPrompt), 0);
const firstTokenSeconds = (Date.now() - startedAt) / 1000;
await sequence.clearHistory();
const prefill = work.depth === 0 ? await prefillRate(tokens.slice(0, work.prompt)) : null;
await sequence.clearHistory();
await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(0, work.depth));
const samples: number[] = [];
for (let i = 0; i < work.samples; i++) samples.push(await decode(tokens.slice(work.depth, work.depth + 1), work.decode));
const repetition: Repetition = { firstTokenSeconds: work.depth === 0 ? firstTokenSeconds : null, prefill, decode: samples };
process.stdout.write(`${JSON.stringify(repetition)}\n`);
process.exit(0);

/** Tokens a second. */
async function prefillRate(prompt: readonly number[]): Promise<number> {
  const begin = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  return (1000 * prompt.length) / (performance.now() - begin);
}

/** Reads `prompt` and decodes one token, then `count` more, whose rate is returned, in tokens a second. */
async function decode(prompt: readonly number[], count: number): Promise<number> {
  const times: number[] = [];
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    if (times.push(performance.now()) > count) break;
  }
  const [begin = NaN, end = NaN] = [times[0], times.at(-1)];
  return (1000 * count) / (end - begin);
}
