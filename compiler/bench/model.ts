/**
 * The speed of a loaded model, row by row through its raw forward call: reading a prompt in the largest chunks that the artefact takes, and
 * decoding one token after the other. Both start `depth` tokens into the sequence. Nothing here knows how the model came to be.
 */
import { argmax, type Model } from "../../runtime/index.ts";
import { LfmcError, required } from "../errors.ts";
import { median, now, samplesOf, secondsOf, type Patience } from "./timing.ts";

export interface ModelWork {
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Tokens to decode. */
  readonly decode: number;
  /** Tokens already in the cache. */
  readonly depth: number;
}

/** Medians over repeats, after a warm-up. */
export interface ModelSpeed {
  readonly prefillTokensPerSecond: number;
  /** Each token is the likeliest by the logits before it: the time holds that choice. */
  readonly decodeTokensPerSecond: number;
  /** From the prompt to its first answer's token. */
  readonly firstTokenSeconds: number;
}

const patience: Patience = { least: 3, most: 9, seconds: 4 };
const slot = 0;

/** Measures `model`, whose first slot must be free. Throws run/context where the work does not fit the artefact's context. */
export function measureModel(model: Model, work: ModelWork): ModelSpeed {
  const { prompt, decode, depth } = work;
  checkFits(model, work);
  const { vocabSize } = model.manifest.model;
  const tokens = promptTokens(depth + Math.max(prompt, decode), vocabSize);
  prefill(model, tokens.slice(0, depth), 0);
  const question = tokens.slice(depth, depth + prompt);
  warmUp(model, question, depth);

  const reads = samplesOf(patience, () => {
    const begin = now();
    const logits = prefill(model, question, depth);
    const read = now();
    argmax(required(logits, "logits of a prompt"));
    return { read: read - begin, answered: now() - begin };
  });
  const writes = samplesOf(patience, () =>
    secondsOf(() => {
      decodeFrom(model, required(tokens[depth], "token"), depth, decode);
    }),
  );
  return {
    prefillTokensPerSecond: prompt / median(reads.map(({ read }) => read)),
    decodeTokensPerSecond: decode / median(writes),
    firstTokenSeconds: median(reads.map(({ answered }) => answered)),
  };
}

function checkFits({ manifest: { limits } }: Model, { prompt, decode, depth }: ModelWork): void {
  const positions = depth + Math.max(prompt, decode);
  if (positions <= limits.context) return;
  throw new LfmcError("run/context", `needs ${positions} positions, the artefact was compiled for ${limits.context}`, {
    subject: "bench",
    hint: "lower --prompt, --decode or --depth, or compile with a larger --context",
  });
}

/** Deterministic ids of the whole vocabulary, so that the embedding's rows are not in any cache. */
export function promptTokens(count: number, vocabSize: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 0) % vocabSize);
}

/** Evaluates `tokens` from `start` on; returns the last one's logits, null for no tokens. */
function prefill(model: Model, tokens: readonly number[], start: number): Float32Array | null {
  const { prefillChunk } = model.manifest.limits;
  let logits: Float32Array | null = null;
  for (let from = 0; from < tokens.length; from += prefillChunk) {
    const rows = tokens.slice(from, from + prefillChunk).map((token, i) => {
      return { token, slot, position: start + from + i, wantsLogits: from + i === tokens.length - 1 };
    });
    logits = model.forward(rows)[0] ?? logits;
  }
  return logits;
}

function decodeFrom(model: Model, first: number, start: number, count: number): void {
  let token = first;
  for (let i = 0; i < count; i++) {
    const [logits] = model.forward([{ token, slot, position: start + i, wantsLogits: true }]);
    token = argmax(required(logits, "logits of a token"));
  }
}

/** Runs both kinds of call until the engine's optimising compiler, which works beside, has surely replaced the first code. */
function warmUp(model: Model, question: readonly number[], depth: number): void {
  const begin = now();
  const chunk = question.slice(0, model.manifest.limits.prefillChunk);
  do {
    prefill(model, chunk, depth);
    decodeFrom(model, required(chunk[0], "token"), depth, 1);
  } while (now() - begin < 1);
}
