/**
 * One run of `generate`: prefill in chunks, then tokens until something ends it, as text that never shows half a character or
 * the beginning of a stop string.
 */
import type { Decoder } from "./decode/decoder.ts";
import { throwIfAborted } from "./errors.ts";
import { nextTurn } from "./event-loop.ts";
import type { Sampler } from "./sampler.ts";
import { StopStrings } from "./stop-strings.ts";
import type { TextStream } from "./text-stream.ts";
import type { Timeline } from "./timeline.ts";

/** Why a generation ended: the model's end token, maxTokens, a stop string, or a full context. */
export type StopReason = "eos" | "length" | "stop" | "context";

/** One generated token and the text that became certain with it, often empty where a character or stop string is unfinished. */
export interface Part {
  readonly token: number;
  readonly text: string;
}

export interface GenerationStats {
  /** Tokens evaluated before the first sample: the prompt, and what the session had not yet evaluated. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** From the call to the first token; 0 where there was none. */
  readonly firstTokenSeconds: number;
  /** 0 where the time could not be measured. */
  readonly prefillTokensPerSecond: number;
  /** Over the tokens after the first; the caller's own time between tokens is not counted. */
  readonly decodeTokensPerSecond: number;
  readonly forwardPasses: number;
}

export interface GenerationResult {
  readonly stopReason: StopReason;
  /** Seed that repeats this generation. */
  readonly seed: number;
  readonly stats: GenerationStats;
}

/** A generation with every default filled in. */
export interface GenerationPlan {
  readonly decoder: Decoder;
  /** null takes the likeliest token. */
  readonly sample: Sampler | null;
  readonly seed: number;
  readonly maxTokens: number;
  readonly context: number;
  readonly prefillChunk: number;
  /** Tokens that end the generation; empty where they are ignored. */
  readonly eos: readonly number[];
  readonly stop: readonly string[];
  readonly text: TextStream | null;
  readonly signal: AbortSignal | undefined;
}

/** Evaluates pending tokens in chunks until at most `leave` are left, with a turn of the event loop after each chunk. */
export async function prefill(timeline: Timeline, leave: number, chunk: number, signal: AbortSignal | undefined): Promise<void> {
  while (timeline.pending > leave) {
    throwIfAborted(signal, "session");
    timeline.step(chunk, "none");
    await nextTurn();
  }
}

/**
 * Generates from the tokens of the timeline, whose state is consistent whenever this ends, fails or is abandoned. Every token, an
 * end token included, is appended and yielded; tokens that were not yielded are dropped again.
 */
export async function* run(timeline: Timeline, plan: GenerationPlan): AsyncGenerator<Part, GenerationResult, void> {
  const clock = new Clock(timeline);
  const ending = new Ending(plan);
  if (plan.maxTokens === 0) return ending.result("length", clock);
  if (timeline.tokens.length >= plan.context) return ending.result("context", clock);
  let shown = timeline.tokens.length;
  try {
    // The last chunk is left to the decoder, which wants its logits.
    await prefill(timeline, plan.prefillChunk, plan.prefillChunk, plan.signal);
    for (;;) {
      throwIfAborted(plan.signal, "session");
      clock.start();
      const tokens = plan.decoder(timeline, plan.sample, { most: ending.room(shown), chunk: plan.prefillChunk });
      clock.stop(tokens.length);
      for (const token of tokens) {
        shown++;
        const { part, reason } = ending.next(token, shown);
        yield part;
        if (reason !== null) return ending.result(reason, clock);
      }
      await nextTurn();
    }
  } finally {
    if (shown < timeline.tokens.length) timeline.rewind(shown);
  }
}

/** Turns tokens into parts and knows when to end. */
class Ending {
  readonly #plan: GenerationPlan;
  readonly #stops: StopStrings;
  #count = 0;

  constructor(plan: GenerationPlan) {
    this.#plan = plan;
    this.#stops = new StopStrings(plan.stop);
  }

  /** How many more tokens may come after `length` of them in the session. */
  room(length: number): number {
    return Math.min(this.#plan.maxTokens - this.#count, this.#plan.context - length);
  }

  /** The part for `token`, the session's `length`th, and why it is the last one, or null. */
  next(token: number, length: number): { readonly part: Part; readonly reason: StopReason | null } {
    this.#count++;
    const { text, stopped } = this.#stops.push(this.#plan.text?.push(token) ?? "");
    const reason = stopped ? "stop" : this.#reason(token, length);
    if (reason === null || stopped) return { part: { token, text }, reason };
    const tail = this.#stops.push(this.#plan.text?.flush() ?? "");
    return { part: { token, text: text + tail.text + (tail.stopped ? "" : this.#stops.flush()) }, reason };
  }

  result(stopReason: StopReason, clock: Clock): GenerationResult {
    return { stopReason, seed: this.#plan.seed, stats: clock.stats(this.#count) };
  }

  #reason(token: number, length: number): StopReason | null {
    if (this.#plan.eos.includes(token)) return "eos";
    if (this.#count >= this.#plan.maxTokens) return "length";
    return length >= this.#plan.context ? "context" : null;
  }
}

/** Times the first token and the work of the others. Hosts whose clock stands still (workerd between requests) give zeros. */
class Clock {
  readonly #timeline: Timeline;
  readonly #begin = performance.now();
  readonly #promptTokens: number;
  readonly #passesBefore: number;
  #firstSeconds = 0;
  #decodeSeconds = 0;
  #firstTokens = 0;
  #started = 0;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
    this.#promptTokens = timeline.pending;
    this.#passesBefore = timeline.forwardPasses;
  }

  start(): void {
    this.#started = performance.now();
  }

  /** The decoder has given `tokens` tokens since `start`; the first ones include the prefill. */
  stop(tokens: number): void {
    const now = performance.now();
    if (this.#firstTokens > 0) this.#decodeSeconds += (now - this.#started) / 1000;
    else {
      this.#firstSeconds = (now - this.#begin) / 1000;
      this.#firstTokens = tokens;
    }
  }

  stats(generatedTokens: number): GenerationStats {
    return {
      promptTokens: this.#promptTokens,
      generatedTokens,
      firstTokenSeconds: this.#firstSeconds,
      prefillTokensPerSecond: rate(this.#promptTokens, this.#firstSeconds),
      decodeTokensPerSecond: rate(Math.max(0, generatedTokens - this.#firstTokens), this.#decodeSeconds),
      forwardPasses: this.#timeline.forwardPasses - this.#passesBefore,
    };
  }
}

function rate(count: number, seconds: number): number {
  return seconds > 0 ? count / seconds : 0;
}
