/** What a generation can be asked for, and the plan that comes of it: every default filled in, every wish checked before anything runs. */
import type { Constraint } from "./constraint.ts";
import type { Decoder } from "./decode/decoder.ts";
import { greedy } from "./decode/greedy.ts";
import { jacobi } from "./decode/jacobi.ts";
import { lookup } from "./decode/lookup.ts";
import { LfmcError } from "./errors.ts";
import type { GenerationPlan } from "./generation.ts";
import type { Limits, Manifest } from "./manifest.ts";
import { type PickSettings, createPick } from "./pick.ts";
import type { RowQueue } from "./row-queue.ts";
import { type Sampler, createSampler, takesLikeliest } from "./sampler.ts";
import type { Timeline } from "./timeline.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** How a prompt is evaluated. */
export interface PrefillOptions {
  /** Rows a forward call, at most the compiled limit, which is the default. Any split gives the same bits. */
  readonly prefillChunk?: number | undefined;
  /** Ends the call between two forward calls, with `run/aborted`; the session stays usable. */
  readonly signal?: AbortSignal | undefined;
}

/** What is left out of the sampling settings falls back to the manifest's. */
export interface GenerateOptions extends PrefillOptions {
  /** By default until the context is full. */
  readonly maxTokens?: number | undefined;
  /** 0: always the likeliest token. */
  readonly temperature?: number | undefined;
  /** Only so many of the likeliest tokens may come; 0: all. */
  readonly topK?: number | undefined;
  /** Only the likeliest tokens whose probabilities make up this much may come; 1: all. */
  readonly topP?: number | undefined;
  /** Only tokens at least this much as likely as the likeliest may come; 0: all. */
  readonly minP?: number | undefined;
  /** Divides the positive logits of tokens that the session has, and multiplies the others; 1: none. */
  readonly repetitionPenalty?: number | undefined;
  /** By default a random one, told in the result. */
  readonly seed?: number | undefined;
  /** Chooses tokens in place of all of the above. */
  readonly sample?: Sampler | undefined;
  /** Strings that end the text, themselves not shown; they may lie across tokens. */
  readonly stop?: string | readonly string[] | undefined;
  /** Go on after the model's end tokens. */
  readonly ignoreEos?: boolean | undefined;
  /** Tokens that end the text, beside the model's own. */
  readonly endTokens?: readonly number[] | undefined;
  /** Special tokens that the text shows; by default none. */
  readonly shownTokens?: readonly number[] | undefined;
  /** What is added to the logits of single tokens before anything else: token id -> bias, -Infinity forbids it. */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  /** Says which tokens may come next. */
  readonly constrain?: Constraint | undefined;
  /** Tell with each token how likely it was by the raw logits, and so many of the likeliest tokens beside it (0 to 20). */
  readonly logprobs?: number | undefined;
  /** Ends after the token, or the part of the prompt, during which so much time has passed. */
  readonly maxSeconds?: number | undefined;
  /** How tokens come about; each way gives the same. By default greedy: one a forward pass. */
  readonly decode?: Decode | undefined;
  /** Most tokens that a forward pass may give where they are guessed: from 1 to `limits.rewind`, 8 by default. */
  readonly window?: number | undefined;
}

/** greedy: one token a forward pass, sampled or not; jacobi: the model's own guesses; lookup: what followed the last tokens before. */
export type Decode = keyof typeof decoders;

const decoders = { greedy, jacobi, lookup } satisfies Readonly<Record<string, Decoder>>;

const defaultWindow = 8;
const mostLogprobs = 20;

/** What a generation needs of its model. */
export interface GenerationHost {
  readonly manifest: Manifest;
  readonly tokenizer: Tokenizer | null;
  readonly queue: RowQueue;
}

/**
 * The plan of a generation whose first token is the session's `start`th. Throws `run/input` for what cannot be.
 */
export function planGeneration(
  { manifest, tokenizer, queue }: GenerationHost,
  timeline: Timeline,
  options: GenerateOptions,
  start: number,
): GenerationPlan {
  const { limits, tokens } = manifest;
  const { ignoreEos = false, endTokens = [], maxSeconds = Infinity } = options;
  const maxTokens = count("maxTokens", options.maxTokens ?? limits.context, 0);
  if (!(maxSeconds >= 0)) throw wrong("maxSeconds", `${maxSeconds} is not a time`, "Give seconds, or leave it out.");
  const stop = typeof options.stop === "string" ? [options.stop] : (options.stop ?? []);
  if (stop.length > 0 && !tokenizer)
    throw wrong("stop", "needs a tokenizer, the artefact has none", "Compile the model with its tokenizer.json.");
  const seed = options.seed ?? randomSeed();
  const chunk = chunkOf(limits, options);
  const eos = ignoreEos ? [] : [...tokens.eos, ...endTokens];
  const picks = createPick({ ...samplerOf(manifest, options, seed), ...askedOf(options), start });
  return {
    next: decoderOf(options)({
      ...picks,
      timeline,
      queue,
      eos,
      chunk,
      window: Math.min(windowOf(limits, options), chunk, limits.logitRows),
    }),
    seed,
    maxTokens,
    maxSeconds,
    context: limits.context,
    prefillChunk: chunk,
    eos,
    stop,
    text: tokenizer?.stream({ shown: options.shownTokens }) ?? null,
    signal: options.signal,
  };
}

function samplerOf(
  { sampling }: Manifest,
  options: GenerateOptions,
  seed: number,
): Pick<PickSettings, "sample" | "isForeign" | "takesLikeliest"> {
  const settings = {
    temperature: options.temperature ?? sampling.temperature,
    topK: options.topK ?? sampling.topK,
    topP: options.topP ?? sampling.topP,
    minP: options.minP ?? sampling.minP,
    repetitionPenalty: options.repetitionPenalty ?? sampling.repetitionPenalty,
    logitBias: options.logitBias,
    seed,
  };
  const sample = createSampler(settings);
  if (options.sample) return { sample: options.sample, isForeign: true, takesLikeliest: false };
  return { sample, isForeign: false, takesLikeliest: takesLikeliest(settings) };
}

function askedOf({ constrain, logprobs }: GenerateOptions): Pick<PickSettings, "constrain" | "logprobs"> {
  return { constrain: constrain ?? null, logprobs: logprobs === undefined ? null : count("logprobs", logprobs, 0, mostLogprobs) };
}

function decoderOf({ decode = "greedy" }: GenerateOptions): Decoder {
  if (Object.hasOwn(decoders, decode)) return decoders[decode];
  throw wrong("decode", `${JSON.stringify(decode)} is no way to decode`, `Take one of ${Object.keys(decoders).join(", ")}.`);
}

function windowOf({ rewind }: Limits, { window = Math.min(defaultWindow, rewind) }: GenerateOptions): number {
  return count("window", window, 1, rewind);
}

/** Rows a forward call: those asked for, or the compiled limit; throws `run/input`. */
export function chunkOf({ prefillChunk }: Limits, { prefillChunk: chunk = prefillChunk }: PrefillOptions): number {
  return Math.min(count("prefillChunk", chunk, 1), prefillChunk);
}

/** `value`, where it is a whole number from `least` to `most`; throws `run/input`. */
export function count(subject: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw wrong(subject, `${value} is not a whole number ${range}`, "Leave it out for the default.");
}

function wrong(subject: string, fact: string, hint: string): LfmcError {
  return new LfmcError("run/input", fact, { subject, hint });
}

/** 32 random bits from the host. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
