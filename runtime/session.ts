/**
 * A session: one sequence of tokens in one slot of the model. It is used by one caller at a time; several sessions of a model may
 * run interleaved. `generate` is the whole of it, the rest makes a session something to keep.
 */
import { evaluateTogether } from "./batch.ts";
import { greedy } from "./decode/greedy.ts";
import type { Decoder } from "./decode/decoder.ts";
import type { RowRunner } from "./engine.ts";
import { LfmcError, throwIfAborted } from "./errors.ts";
import { nextTurn } from "./event-loop.ts";
import { type GenerationPlan, type GenerationResult, type Part, type StopReason, prefill, run } from "./generation.ts";
import type { Manifest } from "./manifest.ts";
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
  readonly decode?: "greedy" | undefined;
}

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
  readonly runner: () => RowRunner;
  /** A session in a free slot; throws `run/sessions` where there is none. */
  createSession(): Session;
  release(slot: number): void;
  /** Throws `run/disposed` once the model is gone. */
  assertAlive(): void;
}

const decoders: Readonly<Record<"greedy", Decoder>> = { greedy };

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
      const plan = this.#plan(options);
      this.#timeline.append(this.#encode(prompt));
      if (this.#timeline.tokens.length === 0)
        throw new LfmcError("run/input", "is empty", { subject: "prompt", hint: "Begin with at least one token." });
      if (plan.maxTokens > 0) this.#timeline.reconsiderLast();
      this.#result = yield* run(this.#timeline, plan);
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
      await prefill(this.#timeline, 0, chunk, options.signal);
    } finally {
      this.#busy = false;
    }
  }

  /** Appends token ids and yields the logits after each one, vocabSize f32, a copy. What was pending is evaluated first. Throws as `prefill` does. */
  async *logits(tokens: readonly number[], options: PrefillOptions = {}): AsyncGenerator<Float32Array, void, void> {
    this.#enter();
    try {
      const chunk = this.#chunk(options.prefillChunk);
      await prefill(this.#timeline, 0, chunk, options.signal);
      this.#timeline.append(tokens);
      while (this.#timeline.pending > 0) {
        throwIfAborted(options.signal, "session");
        yield* this.#timeline.step(chunk, "all").map((view) => view.slice());
        await nextTurn();
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
    for (const session of sessions) session.#busy = true;
    try {
      return await evaluateTogether(
        host.manifest.limits,
        host.runner(),
        sessions.map((session) => session.#timeline),
        signal,
      );
    } finally {
      for (const session of sessions) session.#busy = false;
    }
  }

  /**
   * Drops the tokens from `position` on, exactly. Free within `limits.rewind` positions of the furthest evaluated one, and to 0; further
   * back, the next call evaluates the tokens since the nearest checkpoint again. Throws `run/input` for no such position.
   */
  rewind(position: number): void {
    this.#assertFree();
    this.#timeline.rewind(position);
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

  #plan(options: GenerateOptions): GenerationPlan {
    const { manifest, tokenizer } = this.#host;
    const { limits, sampling, tokens } = manifest;
    const { maxTokens = limits.context } = options;
    if (!Number.isSafeInteger(maxTokens) || maxTokens < 0)
      throw new LfmcError("run/input", `${maxTokens} is not a count`, { subject: "maxTokens", hint: "Leave it out to go on to the end." });
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
      seed,
    };
    const sampler = createSampler(settings);
    return {
      decoder: decoders[options.decode ?? "greedy"],
      sample: options.sample ?? (takesLikeliest(settings) ? null : sampler),
      seed,
      maxTokens,
      context: limits.context,
      prefillChunk: this.#chunk(options.prefillChunk),
      eos: options.ignoreEos ? [] : tokens.eos,
      stop,
      text: tokenizer?.stream() ?? null,
      signal: options.signal,
    };
  }

  #chunk(chunk: number | undefined): number {
    const { prefillChunk } = this.#host.manifest.limits;
    if (chunk === undefined) return prefillChunk;
    if (!Number.isSafeInteger(chunk) || chunk < 1)
      throw new LfmcError("run/input", `${chunk} is not a count of at least 1`, {
        subject: "prefillChunk",
        hint: "Leave it out for the largest.",
      });
    return Math.min(chunk, prefillChunk);
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

/** 32 random bits from the host. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}
