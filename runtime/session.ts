/**
 * A session: one sequence of tokens in one slot of the model. It is used by one caller at a time; several sessions of a model may
 * run interleaved. `generate` is the whole of it, the rest makes a session something to keep.
 */
import type { Constraint } from "./constraint.ts";
import type { Decoder } from "./decode/decoder.ts";
import { greedy } from "./decode/greedy.ts";
import { jacobi } from "./decode/jacobi.ts";
import { lookup } from "./decode/lookup.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { type GenerationPlan, type GenerationResult, type Part, type StopReason, run } from "./generation.ts";
import type { Manifest } from "./manifest.ts";
import { createPick } from "./pick.ts";
import type { RowQueue } from "./row-queue.ts";
import { type Sampler, createSampler, takesLikeliest } from "./sampler.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import type { Timeline } from "./timeline.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface PrefillOptions {
  /** Rows a forward call, at most the compiled limit, which is the default. Any split gives the same bits. */
  readonly prefillChunk?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is left out of the sampling settings falls back to the manifest's. */
export interface GenerateOptions extends PrefillOptions {
  /** By default until the context is full. */
  readonly maxTokens?: number | undefined;
  /** 0: always the likeliest token. */
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  /** By default a random one, told in the result. */
  readonly seed?: number | undefined;
  /** Chooses tokens in place of all of the above. */
  readonly sample?: Sampler | undefined;
  /** Strings that end the text, themselves not shown; they may lie across tokens. */
  readonly stop?: string | readonly string[] | undefined;
  readonly ignoreEos?: boolean | undefined;
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
  /** Most tokens that a forward pass may give where they are guessed: from 1 to `limits.rewind`, 16 by default. */
  readonly window?: number | undefined;
}

/** greedy: one token a forward pass, sampled or not; jacobi: the model's own guesses; lookup: what followed the last tokens before. */
export type Decode = keyof typeof decoders;

/** `generate` to its end. */
export interface Completion extends GenerationResult {
  readonly text: string;
  readonly tokens: readonly number[];
}

/** What a session of a batch reads. */
export interface Turn {
  readonly session: Session;
  readonly tokens: readonly number[];
}

/** What a session needs of its model. */
export interface SessionHost {
  readonly manifest: Manifest;
  readonly tokenizer: Tokenizer | null;
  readonly queue: RowQueue;
  /** A session in a free slot; throws `run/sessions` where there is none. */
  createSession(): Session;
  release(slot: number): void;
  /** Throws `run/disposed` once the model is gone. */
  assertAlive(): void;
}

const decoders = { greedy, jacobi, lookup } satisfies Readonly<Record<string, Decoder>>;

const defaultWindow = 16;
const mostLogprobs = 20;

export class Session {
  readonly #host: SessionHost;
  readonly #timeline: Timeline;
  #busy = false;
  #released = false;
  #result: GenerationResult | null = null;

  /** Made by `model.createSession()`. */
  constructor(host: SessionHost, timeline: Timeline) {
    this.#host = host;
    this.#timeline = timeline;
  }

  /** Tokens of the session: prompts and what was generated, in order. */
  get tokens(): readonly number[] {
    return [...this.#timeline.tokens];
  }

  /** How many tokens the session has; the next one gets this position. */
  get position(): number {
    return this.#timeline.tokens.length;
  }

  /** How the last `generate` that ran to its end did. */
  get result(): GenerationResult | null {
    return this.#result;
  }

  /** Why the last `generate` that ran to its end stopped. */
  get stopReason(): StopReason | null {
    return this.#result?.stopReason ?? null;
  }

  /**
   * Continues the session with a prompt (a text gets BOS at position 0; token ids are taken as they are; an empty prompt just goes
   * on) and yields tokens as they come, then returns the result. Throws `run/input`, `run/context`, `run/busy`, `run/aborted`; the
   * session stays usable, with the tokens it had shown.
   */
  async *generate(prompt: string | readonly number[], options: GenerateOptions = {}): AsyncGenerator<Part, GenerationResult, void> {
    this.#enter();
    try {
      throwIfAborted(options.signal, "session");
      const given = this.#encode(prompt);
      const plan = this.#plan(options, this.position + given.length);
      this.#timeline.append(given);
      if (this.#timeline.tokens.length === 0)
        throw new LfmcError("run/input", "is empty", { subject: "prompt", hint: "Begin with at least one token." });
      if (plan.maxTokens > 0) this.#timeline.reconsiderLast();
      this.#result = yield* run(this.#timeline, this.#host.queue, plan);
      return this.#result;
    } finally {
      this.#busy = false;
    }
  }

  /** `generate` to its end, in one answer. */
  async complete(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<Completion> {
    const parts = this.generate(prompt, options);
    const tokens: number[] = [];
    let text = "";
    for (;;) {
      const next = await parts.next();
      if (next.done) return { text, tokens, ...next.value };
      tokens.push(next.value.token);
      text += next.value.text;
    }
  }

  /** Appends a prompt and evaluates it. Throws as `generate` does; when aborted, what is left is evaluated by the next call. */
  async prefill(prompt: string | readonly number[], options: PrefillOptions = {}): Promise<void> {
    this.#enter();
    try {
      const chunk = this.#chunk(options.prefillChunk);
      this.#timeline.append(this.#encode(prompt));
      await this.#evaluate(chunk, options.signal);
    } finally {
      this.#busy = false;
    }
  }

  /** Appends token ids and yields the logits after each one, vocabSize f32, a copy. What was pending is evaluated first. Throws as `prefill` does. */
  async *logits(tokens: readonly number[], options: PrefillOptions = {}): AsyncGenerator<Float32Array, void, void> {
    this.#enter();
    try {
      const chunk = this.#chunk(options.prefillChunk);
      await this.#evaluate(chunk, options.signal);
      this.#timeline.append(tokens);
      while (this.#timeline.pending > 0) {
        throwIfAborted(options.signal, "session");
        const outcomes = await this.#host.queue.step(this.#timeline, chunk, tokens.length);
        yield* outcomes.map(({ logits }) => logits.slice());
      }
    } finally {
      this.#busy = false;
    }
  }

  /** `model.evaluate`. */
  static async evaluate(host: SessionHost, turns: readonly Turn[], signal: AbortSignal | undefined): Promise<readonly Float32Array[]> {
    const sessions = turns.map(({ session }) => session);
    if (sessions.some((session, i) => session.#host !== host || sessions.indexOf(session) !== i)) {
      throw new LfmcError("run/input", "are not different sessions of this model", {
        subject: "sessions",
        hint: "Give each session of this model once.",
      });
    }
    for (const session of sessions) session.#assertFree();
    for (const { session, tokens } of turns) session.#timeline.assertFits(tokens);
    for (const { session, tokens } of turns) session.#timeline.append(tokens);
    const results = await Promise.allSettled(sessions.map((session) => session.#lastLogits(signal)));
    const failed = results.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    return results.map((result) => (result.status === "fulfilled" ? result.value : new Float32Array(0)));
  }

  /**
   * Drops the tokens from `position` on, exactly. Free within `limits.rewind` positions of the furthest evaluated one, and to 0; further
   * back, the next call evaluates the tokens since the nearest checkpoint again. Throws `run/input` for no such position.
   */
  rewind(position: number): void {
    this.#assertFree();
    this.#timeline.rewind(position);
  }

  /**
   * Rewinds to the longest prefix that the session shares with `tokens`, a whole new prompt, though not to all of it, and returns its length:
   * `generate(tokens.slice(length))` then goes on as if all of it had been given to an empty session.
   */
  keepPrefix(tokens: readonly number[]): number {
    this.#assertFree();
    return this.#timeline.keepPrefix(tokens);
  }

  /** Empties the session. */
  reset(): void {
    this.rewind(0);
  }

  /** The session as bytes for `model.restore`, here or on another machine with the same model. */
  save(): Uint8Array {
    this.#assertFree();
    const { block, ...state } = this.#timeline.snapshot();
    return encodeSnapshot(this.#host.manifest, state, block);
  }

  /** Replaces this session by a saved one; throws `artefact/invalid` or `artefact/mismatch` and then leaves it as it was. */
  load(bytes: Uint8Array): void {
    this.#assertFree();
    const { state, block } = decodeSnapshot(this.#host.manifest, bytes);
    this.#timeline.load(state, block);
  }

  /** A second session with the same past, in another slot; throws `run/sessions` where there is none. */
  fork(): Session {
    this.#assertFree();
    const copy = this.#host.createSession();
    const { block, ...state } = this.#timeline.snapshot();
    copy.#timeline.load(state, block);
    return copy;
  }

  /** Gives the slot back; the session is of no use afterwards. */
  release(): void {
    if (this.#released) return;
    this.#assertFree();
    this.#released = true;
    this.#host.release(this.#timeline.slot);
  }

  /** Evaluates all that is pending, in the calls that it shares with other sessions. */
  async #evaluate(chunk: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#timeline.pending > 0) {
      throwIfAborted(signal, "session");
      await this.#host.queue.step(this.#timeline, chunk, 0);
    }
  }

  /** Evaluates all that is pending; a copy of the logits after the last token, empty where nothing was. */
  async #lastLogits(signal: AbortSignal | undefined): Promise<Float32Array> {
    this.#enter();
    try {
      let last: Float32Array | undefined;
      while (this.#timeline.pending > 0) {
        throwIfAborted(signal, "sessions");
        const [outcome] = await this.#host.queue.step(this.#timeline, this.#host.manifest.limits.prefillChunk, 1);
        last = outcome?.logits.slice();
      }
      return last ?? new Float32Array(0);
    } finally {
      this.#busy = false;
    }
  }

  /** `start`: the session's length when the first token is generated. */
  #plan(options: GenerateOptions, start: number): GenerationPlan {
    const { manifest, tokenizer } = this.#host;
    const { limits, sampling, tokens } = manifest;
    const maxTokens = count("maxTokens", options.maxTokens ?? limits.context, 0);
    const { maxSeconds = Infinity } = options;
    if (!(maxSeconds >= 0))
      throw new LfmcError("run/input", `${maxSeconds} is not a time`, { subject: "maxSeconds", hint: "Give seconds, or leave it out." });
    const stop = typeof options.stop === "string" ? [options.stop] : (options.stop ?? []);
    if (stop.length > 0 && !tokenizer)
      throw new LfmcError("run/input", "needs a tokenizer, the artefact has none", {
        subject: "stop",
        hint: "Compile the model with its tokenizer.json.",
      });
    const seed = options.seed ?? randomSeed();
    const settings = {
      temperature: options.temperature ?? sampling.temperature,
      topK: options.topK ?? sampling.topK,
      topP: options.topP ?? sampling.topP,
      minP: options.minP ?? sampling.minP,
      repetitionPenalty: options.repetitionPenalty ?? sampling.repetitionPenalty,
      logitBias: options.logitBias,
      seed,
    };
    const pick = createPick({
      sample: options.sample ?? createSampler(settings),
      takesLikeliest: options.sample === undefined && takesLikeliest(settings),
      constrain: options.constrain ?? null,
      logprobs: options.logprobs === undefined ? null : count("logprobs", options.logprobs, 0, mostLogprobs),
      start,
    });
    const prefillChunk = this.#chunk(options.prefillChunk);
    const { window = Math.min(defaultWindow, limits.rewind) } = options;
    const decoder = decoders[options.decode ?? "greedy"];
    return {
      next: decoder({ ...pick, timeline: this.#timeline, queue: this.#host.queue, chunk: prefillChunk, window: Math.min(count("window", window, 1, limits.rewind), prefillChunk, limits.logitRows) }),
      seed,
      maxTokens,
      maxSeconds,
      context: limits.context,
      prefillChunk,
      eos: options.ignoreEos ? [] : tokens.eos,
      stop,
      text: tokenizer?.stream() ?? null,
      signal: options.signal,
    };
  }

  #chunk(chunk: number | undefined): number {
    const { prefillChunk } = this.#host.manifest.limits;
    return chunk === undefined ? prefillChunk : Math.min(count("prefillChunk", chunk, 1), prefillChunk);
  }

  #encode(prompt: string | readonly number[]): readonly number[] {
    if (typeof prompt !== "string") return prompt;
    const { tokenizer } = this.#host;
    if (!tokenizer) {
      throw new LfmcError("run/input", "is a text, and the artefact has no tokenizer", { subject: "prompt", hint: "Pass token ids." });
    }
    return tokenizer.encode(prompt, this.position === 0 ? {} : { addBos: false });
  }

  #enter(): void {
    this.#assertFree();
    this.#busy = true;
  }

  #assertFree(): void {
    this.#host.assertAlive();
    if (this.#released) throw new LfmcError("run/disposed", "has been released", { subject: "session", hint: "Create another session." });
    if (this.#busy) {
      throw new LfmcError("run/busy", "is in use", { subject: "session", hint: "Finish the running iterator, or end it with return()." });
    }
  }
}

/** `value`, where it is a whole number from `least` to `most`; throws `run/input`. */
function count(subject: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new LfmcError("run/input", `${value} is not a whole number ${range}`, { subject, hint: "Leave it out for the default." });
}

/** 32 random bits from the host. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
