/** How well a model predicts a text, and how near its predictions come to another model's. */
import { internal, LfmcError } from "../errors.ts";
import { distributionOf, divergence, logProbability, type Distribution } from "./distribution.ts";
import type { LogitSource } from "./logit-source.ts";

export interface Score {
  /** Tokens that were predicted. */
  readonly tokens: number;
  /** exp of the mean negative logarithmic probability of these tokens: as unsure as among so many equals. */
  readonly perplexity: number;
  /** Mean over the positions of KL(reference || model), in nats; null without a reference. */
  readonly kl: number | null;
  /** Share of positions at which both find the same token likeliest; null without a reference. */
  readonly top1: number | null;
}

/** Called after each prediction, with how many there have been. */
export type OnPrediction = (done: number) => void;

/**
 * Scores `model` on windows of a text (windows.ts), at least one. Throws artefact/mismatch for a reference with another vocabulary,
 * run/input where logits are not finite.
 */
export function score(
  windows: readonly (readonly number[])[],
  model: LogitSource,
  reference: LogitSource | null,
  onPrediction?: OnPrediction,
): Score {
  if (reference) checkVocabularies(model, reference);
  let [tokens, surprise, divergences, agreements] = [0, 0, 0, 0];
  for (const { token, found, expected } of predictions(windows, model, reference)) {
    tokens += 1;
    surprise -= logProbability(found, token);
    if (expected) divergences += divergence(expected, found);
    if (expected?.top === found.top) agreements += 1;
    onPrediction?.(tokens);
  }
  const perplexity = Math.exp(surprise / tokens);
  const [kl, top1] = reference ? [divergences / tokens, agreements / tokens] : [null, null];
  if (Number.isFinite(perplexity) && Number.isFinite(kl ?? 0)) return { tokens, perplexity, kl, top1 };
  throw new LfmcError("run/input", "gives logits that are not finite, or no token of the text any chance", {
    subject: "model",
    hint: "are these the weights of a trained model?",
  });
}

/** What is said of one token of the text, before it is read. */
interface Prediction {
  readonly token: number;
  readonly found: Distribution;
  /** The reference's. */
  readonly expected: Distribution | null;
}

function* predictions(
  windows: readonly (readonly number[])[],
  model: LogitSource,
  reference: LogitSource | null,
): Generator<Prediction, void, void> {
  for (const window of windows) {
    const read = window.slice(0, -1);
    const [ours, others] = [model.logits(read), reference?.logits(read)];
    for (const token of window.slice(1)) {
      yield { token, found: distributionOf(next(ours)), expected: others ? distributionOf(next(others)) : null };
    }
  }
}

function next(rows: Generator<Float32Array, void, void>): Float32Array {
  const { done, value } = rows.next();
  return done ? internal("fewer logits than tokens") : value;
}

function checkVocabularies(model: LogitSource, reference: LogitSource): void {
  if (reference.vocabulary === model.vocabulary) return;
  throw new LfmcError("artefact/mismatch", `has a vocabulary of ${reference.vocabulary}, the artefact one of ${model.vocabulary}`, {
    subject: "--against",
    hint: "compare artefacts of the same model",
  });
}
