/**
 * One run of `generate`: prefill in chunks, then tokens until something ends it, as text that never shows half a character or
 * the beginning of a stop string.
 */
import type { NextTokens } from "./decode/decoder.ts";
import { throwIfAborted } from "./errors.ts";
import type { TokenLogprob } from "./logprobs.ts";
import type { Choice } from "./pick.ts";
import type { RowQueue } from "./row-queue.ts";
import { StopStrings } from "./stop-strings.ts";
import type { TextStream } from "./text-stream.ts";
import type { Timeline } from "./timeline.ts";

/** Why a generation ended: the model's end token, maxTokens, a stop string, a full context, or maxSeconds. */
export type StopReason = "eos" | "length" | "stop" | "context" | "time";

/** One generated token and the text that became certain with it, often empty where a character or stop string is unfinished. */
export interface Part {
  /** Its id. */
  readonly token: number;
  /** What became certain with it; of a special token nothing. */
  readonly text: string;
  /** How likely the token was; only where `logprobs` asked for it. */
  readonly logprob?: TokenLogprob;
}

/** Counts and times of a generation; seconds, and tokens a second. */
export interface GenerationStats {
  /** Tokens evaluated before the first sample: the prompt, and what the session had not yet evaluated. */
  readonly promptTokens: number;
  /** Tokens that were yielded, an end token included. */
  readonly generatedTokens: number;
  /** From the call to the first token; 0 where there was none. */
  readonly firstTokenSeconds: number;
  /** 0 where the time could not be measured. */
  readonly prefillTokensPerSecond: number;
  /** Over the tokens after the first; the caller's own time between tokens is not counted. */
  readonly decodeTokensPerSecond: number;
  /** Forward calls from the prompt to the last token. */
  readonly forwardPasses: number;
}

/** How a generation ended, and what it took. */
export interface GenerationResult {
  /** Why it ended. */
  readonly stopReason: StopReason;
  /** Seed that repeats this generation. */
  readonly seed: number;
  /** Counts, seconds and tokens a second. */
  readonly stats: GenerationStats;
}

/** A generation with every default filled in. */
export interface GenerationPlan {
  readonly next: NextTokens;
  readonly seed: number;
  readonly maxTokens: number;
  readonly maxSeconds: number;
  readonly context: number;
  readonly prefillChunk: number;
  /** Tokens that end the generation; empty where they are ignored. */
  readonly eos: readonly number[];
  readonly stop: readonly string[];
  readonly text: TextStream | null;
  readonly signal: AbortSignal | undefined;
}

/**
 * Generates from the tokens of the timeline, whose state is consistent whenever this ends, fails or is abandoned. Every token, an
 * end token included, is appended and yielded; tokens that were not yielded are dropped again.
 */
export async function* run(timeline: Timeline, queue: RowQueue, plan: GenerationPlan): AsyncGenerator<Part, GenerationResult, void> {
  const clock = new Clock(timeline);
  const ending = new Ending(plan, clock);
  if (plan.maxTokens === 0) return ending.result("length");
  if (timeline.tokens.length >= plan.context) return ending.result("context");
  let shown = timeline.tokens.length;
  try {
    for (;;) {
      throwIfAborted(plan.signal, "session");
      // The last chunk is left to the decoder, which wants its logits.
      if (timeline.pending > plan.prefillChunk) {
        if (ending.isLate()) return ending.result("time");
        await queue.step(timeline, plan.prefillChunk, 0);
        continue;
      }
      clock.start();
      const choices = await plan.next(ending.room(shown));
      clock.stop(choices.length);
      for (const choice of choices) {
        throwIfAborted(plan.signal, "session");
        shown++;
        const { part, reason } = ending.next(choice, shown);
        yield part;
        if (reason !== null) return ending.result(reason);
      }
    }
  } finally {
    if (shown < timeline.tokens.length) timeline.rewind(shown);
  }
}

/** Turns tokens into parts and knows when to end. */
class Ending {
  readonly #plan: GenerationPlan;
  readonly #clock: Clock;
  readonly #stops: StopStrings;
  #count = 0;

  constructor(plan: GenerationPlan, clock: Clock) {
    this.#plan = plan;
    this.#clock = clock;
    this.#stops = new StopStrings(plan.stop);
  }

  /** How many more tokens may come after `length` of them in the session. */
  room(length: number): number {
    return Math.min(this.#plan.maxTokens - this.#count, this.#plan.context - length);
  }

  /** Whether the time is over. */
  isLate(): boolean {
    return this.#clock.seconds >= this.#plan.maxSeconds;
  }

  /** The part for a token, the session's `length`th, and why it is the last one, or null. */
  next({ token, logprob }: Choice, length: number): { readonly part: Part; readonly reason: StopReason | null } {
    this.#count++;
    const { text, stopped } = this.#stops.push(this.#plan.text?.push(token) ?? "");
    const reason = stopped ? "stop" : this.#reason(token, length);
    const part = (shown: string): Part => ({ token, text: shown, ...(logprob && { logprob }) });
    if (reason === null || stopped) return { part: part(text), reason };
    const tail = this.#stops.push(this.#plan.text?.flush() ?? "");
    return { part: part(text + tail.text + (tail.stopped ? "" : this.#stops.flush())), reason };
  }

  result(stopReason: StopReason): GenerationResult {
    return { stopReason, seed: this.#plan.seed, stats: this.#clock.stats(this.#count) };
  }

  #reason(token: number, length: number): StopReason | null {
    if (this.#plan.eos.includes(token)) return "eos";
    if (this.#count >= this.#plan.maxTokens) return "length";
    if (length >= this.#plan.context) return "context";
    return this.isLate() ? "time" : null;
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

  /** Since the generation was asked for. */
  get seconds(): number {
    return (performance.now() - this.#begin) / 1000;
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
