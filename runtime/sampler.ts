/**
 * From logits to a token, reproducibly: binary32 steps in a fixed order, the contract's exp, a counter-based generator. No
 * Math.exp, whose last bit differs between engines.
 *
 * Order: bias; then, as in Hugging Face's generate, repetition penalty, temperature, top-k, top-p, min-p. Ranks are ranking.ts's; each
 * filter keeps the first ranks (of equal logits at its border top-k and top-p keep the lower ids, where Hugging Face's keeps all or any).
 * The draw walks through the candidates by rank; by id where neither top-k nor top-p asked for ranks.
 */
import { LfmcError } from "./errors.ts";
import { exp } from "./exp.ts";
import type { SamplingDefaults } from "./manifest.ts";
import { uniform } from "./random.ts";
import { ranked } from "./ranking.ts";

const f = Math.fround;

/** How a token is chosen from logits. */
export interface SamplingSettings extends SamplingDefaults {
  /** A whole number; with it the same tokens are drawn again. */
  readonly seed: number;
  /**
   * Token id -> what is added to its logit before anything else, rounded to binary32; -Infinity forbids the token. Keys are decimal, as in
   * JSON.
   */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
}

/** Chooses the token that follows `tokens`, given its logits; those of tokens that a constraint leaves out are -Infinity. */
export type Sampler = (logits: Float32Array, tokens: readonly number[]) => number;

/**
 * A sampler with these settings: temperature 0 is greedy; topK 0, topP 1, minP 0 and repetitionPenalty 1 are off. Throws `run/input`
 * for a setting out of range, and where the bias names a token that has no logit.
 */
export function createSampler(settings: SamplingSettings): Sampler {
  checkSettings(settings);
  const { repetitionPenalty, seed } = settings;
  const bias = biasEntries(settings);
  const penalize = repetitionPenalty !== 1;
  const greedy = isGreedy(settings);
  return (logits, tokens) => {
    const wanted = bias.length > 0 ? biased(logits, bias) : logits;
    const scores = penalize ? penalized(wanted, tokens, f(repetitionPenalty)) : wanted;
    const best = argmax(scores);
    return greedy ? best : draw(scores, best, settings, uniform(seed, tokens.length));
  };
}

/** Whether a sampler with these settings takes the largest of what the penalty leaves of the logits. */
function isGreedy({ temperature }: SamplingSettings): boolean {
  // A temperature that vanishes in binary32 is 0.
  return f(temperature) === 0;
}

/** Whether a sampler with these settings always takes the largest logit, so that `argmax` is all of it. */
export function takesLikeliest(settings: SamplingSettings): boolean {
  return isGreedy(settings) && settings.repetitionPenalty === 1 && biasEntries(settings).length === 0;
}

/** Index of the largest logit, ties to the lower index; throws `run/input` where no logit is a number. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let highest = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i] ?? NaN;
    if (value > highest) {
      highest = value;
      best = i;
    }
  }
  return best < 0 ? noLikeliest() : best;
}

/** Throws `run/input`: logits from which no token can be chosen. */
export function noLikeliest(): never {
  throw new LfmcError("run/input", "none of the logits is a finite number", {
    subject: "logits",
    hint: "The weights are altered, or no weights for this model; load with verify.",
  });
}

/** Token ids and what is added to their logits. */
function biasEntries({ logitBias }: SamplingSettings): readonly (readonly [token: number, bias: number])[] {
  return Object.entries(logitBias ?? {}).map(([token, bias]) => [Number(token), f(bias)]);
}

/** A copy with the bias added; throws `run/input` for a token that is none, and where it leaves no token to choose. */
function biased(logits: Float32Array, bias: readonly (readonly [token: number, bias: number])[]): Float32Array {
  const scores = logits.slice();
  for (const [token, value] of bias) {
    if (token >= scores.length) throw wrongBias(`token ${token} is none of the vocabulary's ${scores.length}`);
    scores[token] = (scores[token] ?? 0) + value;
  }
  if (scores.every((score) => score === -Infinity)) throw wrongBias("leaves no token that may come");
  return scores;
}

function wrongBias(fact: string): LfmcError {
  return new LfmcError("run/input", fact, { subject: "logitBias", hint: "Give token ids, each with a finite number or -Infinity." });
}

/** A copy in which every token of `tokens` is less likely: positive logits are divided, negative ones multiplied by `penalty`. */
function penalized(logits: Float32Array, tokens: readonly number[], penalty: number): Float32Array {
  const scores = logits.slice();
  for (const token of new Set(tokens)) {
    const value = scores[token] ?? 0;
    scores[token] = value > 0 ? value / penalty : value * penalty;
  }
  return scores;
}

/** Inverse-transform sampling over the candidates that the filters keep; `random` in [0, 1). */
function draw(scores: Float32Array, best: number, settings: SamplingSettings, random: number): number {
  const { topK, topP, minP } = settings;
  const nucleus = topP < 1;
  const ids = topK > 0 || nucleus ? ranked(scores, topK) : everyId(scores.length);
  const weights = weigh(scores, ids, scores[best] ?? 0, f(settings.temperature));
  let kept = nucleus ? nucleusLength(weights, f(topP)) : ids.length;
  if (minP > 0) kept = keepLikely(ids, weights, kept, f(minP));
  const target = f(random * sum(weights, kept));
  let reached = 0;
  let last = best;
  for (let i = 0; i < kept; i++) {
    const weight = weights[i] ?? 0;
    if (weight === 0) continue;
    last = ids[i] ?? best;
    reached = f(reached + weight);
    if (reached > target) break;
  }
  return last;
}

/** e^((score - highest) / temperature): 1 for the best candidate. */
function weigh(scores: Float32Array, ids: Uint32Array, highest: number, temperature: number): Float32Array {
  const weights = new Float32Array(ids.length);
  for (let i = 0; i < ids.length; i++) weights[i] = exp(f(f((scores[ids[i] ?? 0] ?? 0) - highest) / temperature));
  return weights;
}

function everyId(count: number): Uint32Array {
  const ids = new Uint32Array(count);
  for (let i = 0; i < count; i++) ids[i] = i;
  return ids;
}

/** Length of the shortest prefix that holds `share` of all the weight. */
function nucleusLength(weights: Float32Array, share: number): number {
  const enough = f(share * sum(weights, weights.length));
  let reached = 0;
  for (let i = 0; i < weights.length; i++) {
    reached = f(reached + (weights[i] ?? 0));
    if (reached >= enough) return i + 1;
  }
  return weights.length;
}

/** Moves the candidates of weight at least `least` (the best has weight 1) to the front, in order; returns how many. */
function keepLikely(ids: Uint32Array, weights: Float32Array, count: number, least: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i] ?? 0;
    if (weight < least) continue;
    ids[kept] = ids[i] ?? 0;
    weights[kept] = weight;
    kept++;
  }
  return kept;
}

function sum(weights: Float32Array, count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total = f(total + (weights[i] ?? 0));
  return total;
}

function checkSettings({ temperature, topK, topP, minP, repetitionPenalty, seed, logitBias }: SamplingSettings): void {
  const check = (subject: string, ok: boolean, fact: string): void => {
    if (!ok) throw new LfmcError("run/input", fact, { subject, hint: `Leave ${subject} out for the model's own default.` });
  };
  check("temperature", Number.isFinite(temperature) && temperature >= 0, `${temperature} is not a number of at least 0`);
  check("topK", Number.isSafeInteger(topK) && topK >= 0, `${topK} is not an integer of at least 0`);
  check("topP", topP >= 0 && topP <= 1, `${topP} is not a number from 0 to 1`);
  check("minP", minP >= 0 && minP <= 1, `${minP} is not a number from 0 to 1`);
  check("repetitionPenalty", Number.isFinite(repetitionPenalty) && repetitionPenalty > 0, `${repetitionPenalty} is not a number above 0`);
  check("seed", Number.isSafeInteger(seed) && seed >= 0, `${seed} is not an integer from 0 to 2^53 - 1`);
  for (const [token, bias] of Object.entries(logitBias ?? {})) {
    if (!/^(?:0|[1-9]\d{0,9})$/.test(token)) throw wrongBias(`${token} is not a token id`);
    if (!Number.isFinite(f(bias)) && bias !== -Infinity) throw wrongBias(`${String(bias)} is not a bias`);
  }
}
