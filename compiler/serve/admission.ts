/**
 * Who may generate: requests wait in order for a session, no more of them than the queue holds, none longer than its time. Those that have
 * one run together; the runtime lets them share forward calls.
 */
import type { Session, SessionPool } from "../../runtime/index.ts";
import { ApiError, unavailable } from "./api-error.ts";

export interface AdmissionOptions {
  /** Requests that run at a time. */
  readonly sessions: number;
  /** Requests that may wait. */
  readonly maxQueue: number;
  /** From the end of the request to the end of its answer. */
  readonly timeoutSeconds: number;
}

export class Admission {
  readonly #pool: SessionPool;
  readonly #options: AdmissionOptions;
  #admitted = 0;

  constructor(pool: SessionPool, options: AdmissionOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** Requests that run or wait. */
  get admitted(): number {
    return this.#admitted;
  }

  /**
   * Calls `work` with the session that has most in common with `tokens`, and a clock of the seconds that are left. Throws `ApiError` 503
   * where the queue is full, 504 where no session came in time, `run/aborted` where the signal says so, and what `work` throws.
   */
  async run<T>(
    tokens: readonly number[],
    signal: AbortSignal,
    work: (session: Session, secondsLeft: () => number) => Promise<T>,
  ): Promise<T> {
    const { sessions, maxQueue, timeoutSeconds } = this.#options;
    if (this.#admitted >= sessions + maxQueue) throw unavailable("Too many requests are waiting.", "queue_full");
    const end = performance.now() + timeoutSeconds * 1000;
    this.#admitted++;
    try {
      const session = await this.#acquire(tokens, signal);
      const secondsLeft = (): number => Math.max(0, end - performance.now()) / 1000;
      try {
        if (secondsLeft() === 0) throw timedOut();
        return await work(session, secondsLeft);
      } finally {
        this.#pool.release(session);
      }
    } finally {
      this.#admitted--;
    }
  }

  async #acquire(tokens: readonly number[], signal: AbortSignal): Promise<Session> {
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(timedOut());
    }, this.#options.timeoutSeconds * 1000);
    try {
      return await this.#pool.acquire(tokens, AbortSignal.any([signal, late.signal]));
    } finally {
      clearTimeout(timer);
    }
  }
}

/** 504: there was no time to answer. */
export function timedOut(): ApiError {
  return new ApiError(504, "The time of the request is over.", { code: "timeout" });
}
