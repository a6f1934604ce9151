/**
 * Sessions for those who come and go, as a server's requests do: whoever comes waits for one, in order, and gets the one whose past has most in common
 * with the new prompt. Idle sessions keep their past, so a conversation that goes on, or a system prompt that all of them share, is evaluated once.
 */
import { LfmcError } from "./errors.ts";
import { count } from "./generate-options.ts";
import type { Model } from "./model.ts";
import type { Session } from "./session.ts";
import { sharedLength } from "./timeline.ts";

/** What a pool may take of a model. */
export interface SessionPoolOptions {
  /** Most sessions at a time; by default all slots of the model. */
  readonly sessions?: number | undefined;
}

interface Waiting {
  readonly tokens: readonly number[];
  readonly give: (session: Session) => void;
  readonly refuse: (reason: Error) => void;
}

/** A past that is this much longer than what is shared with a new prompt is worth a slot of its own, as long as one is free. */
const worthKeeping = 32;

/** Sessions for those who come and go: in order, the one whose past fits a prompt best. */
export class SessionPool {
  readonly #model: Model;
  /** Sessions that were not made yet. */
  #unused: number;
  /** Longest idle first. */
  #idle: readonly Session[] = [];
  #waiting: readonly Waiting[] = [];

  /** Throws `run/input` for a number of sessions that is none. */
  constructor(model: Model, { sessions = model.manifest.limits.sessions }: SessionPoolOptions = {}) {
    this.#model = model;
    this.#unused = count("sessions", sessions, 1);
  }

  /** Those who wait for a session. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A session for the prompt `tokens`, rewound to what it shares with it: `generate(tokens.slice(session.position))` goes on. Give it back by
   * `release`. Rejects with `run/aborted` where the signal comes before a session, `run/sessions` where others have taken the model's slots and
   * none is idle, `run/disposed`.
   */
  acquire(tokens: readonly number[], signal?: AbortSignal): Promise<Session> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        signal?.removeEventListener("abort", leave);
      };
      const leave = (): void => {
        end();
        const cause: unknown = signal?.reason;
        reject(new LfmcError("run/aborted", "aborted by the caller's signal", { subject: "session", hint: "Ask again.", cause }));
      };
      const waiting: Waiting = {
        tokens,
        give: (session) => {
          end();
          resolve(session);
        },
        refuse: (reason) => {
          end();
          reject(reason);
        },
      };
      if (signal?.aborted) {
        leave();
        return;
      }
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting = [...this.#waiting, waiting];
      this.#serve();
    });
  }

  /** Takes a session back, with its past. Throws `run/busy` while it generates, and then it is not given back. */
  release(session: Session): void {
    session.assertIdle();
    this.#idle = [...this.#idle, session];
    this.#serve();
  }

  /** Gives sessions to those who wait, as long as there are any. */
  #serve(): void {
    for (const next of this.#waiting) {
      if (this.#idle.length === 0 && this.#unused === 0) return;
      try {
        next.give(this.#choose(next.tokens));
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        next.refuse(error);
      }
    }
  }

  /** The idle session that shares most with `tokens`, of equals the one that was idle longest, or a new one where that saves its past. */
  #choose(tokens: readonly number[]): Session {
    const [best] = this.#idle
      .map((session) => ({ session, shared: sharedLength(session.tokens, tokens) }))
      .toSorted((a, b) => b.shared - a.shared);
    const losesLittle = best !== undefined && best.session.position <= best.shared + worthKeeping;
    const session = (losesLittle ? null : this.#open(best)) ?? best?.session ?? this.#model.createSession();
    session.keepPrefix(tokens);
    this.#idle = this.#idle.filter((idle) => idle !== session);
    return session;
  }

  /** A session in a slot of its own, with the best past where that is of use; null where there is no slot. */
  #open(best: { readonly session: Session; readonly shared: number } | undefined): Session | null {
    if (this.#unused === 0) return null;
    try {
      const session = best && best.shared > worthKeeping ? best.session.fork() : this.#model.createSession();
      this.#unused--;
      return session;
    } catch (error) {
      if (best && error instanceof LfmcError && error.code === "run/sessions") return null;
      throw error;
    }
  }
}
