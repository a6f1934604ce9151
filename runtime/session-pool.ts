/**
 * Sessions for those who come and go, as a server's requests do: whoever comes waits for one, in order, and gets the one whose past has most in common
 * with the new prompt. Idle sessions keep their past, so a conversation that goes on, or a system prompt that all of them share, is evaluated once.
 */
import { LfmcError } from "./errors.ts";
import type { Model } from "./model.ts";
import type { Session } from "./session.ts";

export interface SessionPoolOptions {
  /** Most sessions at a time; by default all slots of the model. */
  readonly sessions?: number | undefined;
}

interface Waiting {
  readonly tokens: readonly number[];
  readonly give: (session: Session) => void;
}

/** A past that is this much longer than what is shared with a new prompt is worth a slot of its own, as long as one is free. */
const worthKeeping = 32;

export class SessionPool {
  readonly #model: Model;
  /** Sessions that were not made yet. */
  #unused: number;
  /** Longest idle first. */
  #idle: readonly Session[] = [];
  #waiting: readonly Waiting[] = [];

  constructor(model: Model, { sessions = model.manifest.limits.sessions }: SessionPoolOptions = {}) {
    this.#model = model;
    this.#unused = sessions;
  }

  /** Those who wait for a session. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A session for the prompt `tokens`, rewound to what it shares with it: `generate(tokens.slice(session.position))` goes on. Give it back by
   * `release`. Throws `run/aborted` while it waits, `run/sessions` where others have taken the model's slots.
   */
  acquire(tokens: readonly number[], signal?: AbortSignal): Promise<Session> {
    return new Promise((resolve, reject) => {
      const waiting = { tokens, give };
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        const hint = "Ask again.";
        reject(new LfmcError("run/aborted", "aborted by the caller's signal", { subject: "session", hint, cause: signal?.reason }));
      };
      function give(session: Session): void {
        signal?.removeEventListener("abort", leave);
        resolve(session);
      }
      if (signal?.aborted) {
        leave();
        return;
      }
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting = [...this.#waiting, waiting];
      try {
        this.#serve();
      } catch (error) {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        signal?.removeEventListener("abort", leave);
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  /** Takes a session back, with its past. */
  release(session: Session): void {
    this.#idle = [...this.#idle, session];
    this.#serve();
  }

  #serve(): void {
    const [next, ...rest] = this.#waiting;
    if (!next || (this.#idle.length === 0 && this.#unused === 0)) return;
    const session = this.#choose(next.tokens);
    this.#waiting = rest;
    next.give(session);
  }

  /** The idle session that shares most with `tokens`, of equals the one that was idle longest, or a new one where that saves its past. */
  #choose(tokens: readonly number[]): Session {
    const [best] = this.#idle
      .map((session) => ({ session, shared: sharedLength(session.tokens, tokens) }))
      .toSorted((a, b) => b.shared - a.shared);
    const keeps = best !== undefined && best.session.position <= best.shared + worthKeeping;
    if (best && (keeps || this.#unused === 0)) {
      this.#idle = this.#idle.filter((session) => session !== best.session);
      best.session.keepPrefix(tokens);
      return best.session;
    }
    const session = best && best.shared > worthKeeping ? best.session.fork() : this.#model.createSession();
    this.#unused--;
    session.keepPrefix(tokens);
    return session;
  }
}

function sharedLength(a: readonly number[], b: readonly number[]): number {
  const differs = a.findIndex((token, i) => token !== b[i]);
  return differs < 0 ? a.length : differs;
}
