/**
 * The speed of a loaded model, row by row through its raw forward call: reading a prompt in the largest chunks that the artefact takes, and
 * decoding one token after the other. Both start `depth` tokens into the sequence. Nothing here knows how the model came to be.
 */
import type { Manifest, Model } from "../../runtime/index.ts";
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
  /** Each token is the model's own choice of the likeliest. */
  readonly decodeTokensPerSecond: number;
}

/** Three make a median; where one takes seconds there are no more of them. */
const patience: Patience = { least: 3, most: 9, seconds: 4 };
/** The slot that is measured. */
export const slot = 0;

/** Measures `model`, whose slot holds the first `depth` tokens of `promptTokens`; what it holds of later positions is overwritten. */
export function measureModel(model: Model, { prompt, decode, depth }: ModelWork): ModelSpeed {
  const tokens = promptTokens(model, depth + prompt);
  const question = tokens.slice(depth);
  warmUp(model, question, depth);
  const reads = samplesOf(patience, () =>
    secondsOf(() => {
      prefill(model, question, depth);
    }),
  );
  const writes = samplesOf(patience, () =>
    secondsOf(() => {
      decodeFrom(model, required(tokens[depth], "token"), depth, decode);
    }),
  );
  return { prefillTokensPerSecond: prompt / median(reads), decodeTokensPerSecond: decode / median(writes) };
}

/** Throws run/context where the work does not fit the context that the artefact was compiled for. */
export function checkFits({ limits }: Manifest, { prompt, decode, depth }: ModelWork): void {
  const positions = depth + Math.max(prompt, decode);
  if (positions <= limits.context) return;
  throw new LfmcError("run/context", `needs ${positions} positions, the artefact was compiled for ${limits.context}`, {
    subject: "bench",
    hint: "lower --prompt, --decode or --depth, or compile with a larger --context",
  });
}

/** Deterministic ids of the whole vocabulary, so that the embedding's rows are not in any cache; a longer prompt begins with each shorter one. */
export function promptTokens({ manifest: { model } }: Model, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 0) % model.vocabSize);
}

/** Evaluates `tokens` from position `start` on, and chooses the one that follows; none where they are part of a prompt that ends at `end`. */
export function prefill(model: Model, tokens: readonly number[], start: number, end = start + tokens.length): void {
  const { prefillChunk } = model.manifest.limits;
  for (let from = 0; from < tokens.length; from += prefillChunk) {
    const rows = tokens.slice(from, from + prefillChunk).map((token, i) => {
      return { token, slot, position: start + from + i, wantsLogits: start + from + i === end - 1 };
    });
    model.choose(rows);
  }
}

function decodeFrom(model: Model, first: number, start: number, count: number): void {
  let token = first;
  for (let i = 0; i < count; i++) {
    const [next] = model.choose([{ token, slot, position: start + i, wantsLogits: true }]);
    token = required(next, "choice");
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
