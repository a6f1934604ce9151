/**
 * A session: one sequence of tokens in one slot of the model. It is used by one caller at a time; several sessions of a model may
 * run interleaved. `generate` is the whole of it, the rest makes a session something to keep.
 */
import { LfmcError, throwIfAborted } from "./errors.ts";
import { type GenerateOptions, type GenerationHost, type PrefillOptions, chunkOf, planGeneration } from "./generate-options.ts";
import { type GenerationResult, type Part, type StopReason, run } from "./generation.ts";
import { decodeSnapshot, encodeSnapshot } from "./snapshot.ts";
import type { Timeline } from "./timeline.ts";

/** `generate` to its end. */
export interface Completion extends GenerationResult {
  /** The generated text, without the prompt. */
  readonly text: string;
  /** Its token ids, an end token included. */
  readonly tokens: readonly number[];
}

/** What a session of a batch reads. */
export interface Turn {
  /** A session of the model. */
  readonly session: Session;
  /** Token ids to append to it. */
  readonly tokens: readonly number[];
}

/** What a session needs of its model. */
export interface SessionHost extends GenerationHost {
  /** A session in a free slot; throws `run/sessions` where there is none. */
  createSession(): Session;
  release(slot: number): void;
  /** Throws `run/disposed` once the model is gone. */
  assertAlive(): void;
}

/** A sequence of tokens and the model's state after them, in one slot of the model's memory. */
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
      const plan = planGeneration(this.#host, this.#timeline, options, this.position + given.length);
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
      const chunk = chunkOf(this.#host.manifest.limits, options);
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
      const chunk = chunkOf(this.#host.manifest.limits, options);
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

  /** Throws `run/busy` while it generates, `run/disposed` once it was released. */
  assertIdle(): void {
    if (this.#released) throw new LfmcError("run/disposed", "has been released", { subject: "session", hint: "Create another session." });
    if (this.#busy) {
      throw new LfmcError("run/busy", "is in use", { subject: "session", hint: "Finish the running iterator, or end it with return()." });
    }
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
    this.assertIdle();
  }
}
