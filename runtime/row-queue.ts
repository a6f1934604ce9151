/**
 * Sessions share forward calls: what they ask for in one turn of the event loop runs in one call, so the weights are read once for all of them. Each
 * session's rows are those that it would have had alone, in the same order, so its bits are the same.
 *
 * Whoever steps sessions at the same time is batched; there is no scheduler to tell. Every call is followed by a turn of the event loop, in which
 * timers, input and aborts are heard.
 */
import type { Outcome, Row, RowRunner } from "./engine.ts";
import { nextTurn } from "./event-loop.ts";
import type { Limits } from "./manifest.ts";
import type { Timeline } from "./timeline.ts";

/** What one session wants of the next call. */
interface Request {
  readonly timeline: Timeline;
  /** Most rows. */
  readonly chunk: number;
  /** How many of the session's last tokens want logits. */
  readonly wanted: number;
  /** Calls that had no room for it. */
  age: number;
  readonly resolve: (outcomes: readonly Outcome[]) => void;
  readonly reject: (reason: unknown) => void;
}

interface Share {
  readonly request: Request;
  readonly rows: readonly Row[];
}

export class RowQueue {
  readonly #limits: Limits;
  readonly #runner: () => RowRunner;
  #waiting: readonly Request[] = [];

  /** `runner` throws once the model is gone. */
  constructor(limits: Limits, runner: () => RowRunner) {
    this.#limits = limits;
    this.#runner = runner;
  }

  /**
   * Evaluates the next pending tokens of a session, at most `chunk` and fewer where a limit, a checkpoint or other sessions ask for it. Resolves
   * to the outcomes of those among the session's last `wanted` tokens, in rising position; they are valid until the next turn of the event loop. The
   * session's tokens stay as they are meanwhile.
   */
  step(timeline: Timeline, chunk: number, wanted: number): Promise<readonly Outcome[]> {
    if (timeline.pending === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) void this.#runSoon();
      this.#waiting = [...this.#waiting, { timeline, chunk, wanted, age: 0, resolve, reject }];
    });
  }

  async #runSoon(): Promise<void> {
    await nextTurn();
    const shares = this.#nextShares();
    const served = new Set(shares.map(({ request }) => request));
    this.#waiting = this.#waiting.filter((request) => !served.has(request));
    for (const request of this.#waiting) request.age++;
    if (this.#waiting.length > 0) void this.#runSoon();
    this.#run(shares);
  }

  #run(shares: readonly Share[]): void {
    try {
      const outcomes = this.#runner().forward(shares.flatMap(({ rows }) => rows));
      let used = 0;
      for (const { request, rows } of shares) {
        const count = rows.filter(({ wantsLogits }) => wantsLogits).length;
        request.timeline.advance(rows.length);
        request.resolve(outcomes.slice(used, (used += count)));
      }
    } catch (error) {
      for (const { request } of shares) request.reject(error);
    }
  }

  /** Who takes part in the next call: first those left over, then small requests, so that a long prompt fills what decoding leaves of the room. */
  #nextShares(): readonly Share[] {
    const { prefillChunk, logitRows } = this.#limits;
    const size = ({ timeline, chunk }: Request): number => Math.min(timeline.pending, chunk);
    const shares: Share[] = [];
    let [room, logits] = [prefillChunk, logitRows];
    for (const request of this.#waiting.toSorted((a, b) => b.age - a.age || size(a) - size(b))) {
      const { timeline, chunk, wanted } = request;
      const rows = timeline.next(Math.min(chunk, room), logits, wanted);
      const wants = rows.filter(({ wantsLogits }) => wantsLogits).length;
      // A window of guesses is of use as a whole; the first in the call gets what there is.
      const isCutWindow = wanted > 1 && wants < Math.min(wanted, size(request), logitRows);
      if (rows.length === 0 || (isCutWindow && shares.length > 0)) continue;
      shares.push({ request, rows });
      room -= rows.length;
      logits -= wants;
    }
    return shares;
  }
}
