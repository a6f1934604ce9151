/**
 * A loaded model: one engine, its manifest, its tokenizer and its session slots. Everything that runs it goes through one `RowRunner`.
 */
import { type Engine, type Row, RowRunner } from "./engine.ts";
import { LfmcError } from "./errors.ts";
import type { Manifest, Variant } from "./manifest.ts";
import { RowQueue } from "./row-queue.ts";
import { Session, type SessionHost, type Turn } from "./session.ts";
import { Timeline } from "./timeline.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Model {
  readonly manifest: Manifest;
  /** The variant that runs, null where the engine is not one of the artefact's modules. */
  readonly variant: Variant | null;
  /** Threads that run it: those asked for, or one where the host does not share memory. */
  readonly threads: number;
  /** null where the model came without one. */
  readonly tokenizer: Tokenizer | null;
  /** Source of the model's own chat template, for `chat/`; null where it came without one. */
  readonly chatTemplate: string | null;
  /** From the call of `load` to the model. */
  readonly loadSeconds: number;
  /** A session in a free slot; throws `run/sessions` where all are taken. */
  createSession(): Session;
  /** A new session with a saved one's past; throws as `createSession` and `Session.load` do. */
  restore(bytes: Uint8Array): Session;
  /**
   * Appends tokens to several sessions and evaluates what is pending in them in shared forward calls: reading the weights once for all of
   * them. Resolves to the logits after each session's last token, vocabSize f32, copies, in the turns' order (empty for an empty session, or
   * where nothing was pending). Who shares a call changes no bit. Throws as `Session.prefill` does, before anything was appended, or
   * `run/aborted` between calls.
   */
  evaluate(turns: readonly Turn[], options?: { readonly signal?: AbortSignal | undefined }): Promise<readonly Float32Array[]>;
  /**
   * The raw call: evaluates rows, returns a view of vocabSize logits for each one that wants them, valid until the next call. It
   * writes to the slots it names: keep them apart from those of live sessions.
   */
  forward(rows: readonly Row[]): readonly Float32Array[];
  /** The raw call, of which only the likeliest token after each row that wants logits is read: what `argmax` makes of them. */
  choose(rows: readonly Row[]): readonly number[];
  /** Ends the model and lets go of its memory. */
  dispose(): Promise<void>;
}

/** What a model is put together from. */
export interface ModelParts {
  /** What the artefact is. */
  readonly manifest: Manifest;
  /** What runs it. */
  readonly engine: Engine;
  /** null for none. */
  readonly tokenizer: Tokenizer | null;
  /** Its source; null, the default, for none. */
  readonly chatTemplate?: string | null;
  /** The variant that the engine is of; null, the default, where it is of none. */
  readonly variant?: Variant | null;
  /** Threads that run it, 1 by default. */
  readonly threads?: number;
  /** What the model is to tell of its loading. */
  readonly loadSeconds?: number;
}

/** A model on any engine; `load` calls this with a WebAssembly instance. Throws `artefact/mismatch` where engine and manifest differ. */
export function createModel(parts: ModelParts): Model {
  const { manifest, tokenizer } = parts;
  let runner: RowRunner | null = new RowRunner(manifest, parts.engine);
  const free = Array.from({ length: manifest.limits.sessions }, (_, slot) => slot);
  const alive = (): RowRunner => {
    if (runner) return runner;
    throw new LfmcError("run/disposed", "has been disposed of", { subject: "model", hint: "Load it again." });
  };
  const host: SessionHost = {
    manifest,
    tokenizer,
    queue: new RowQueue(manifest.limits, alive),
    createSession() {
      const rows = alive();
      const slot = free.shift();
      if (slot !== undefined) return new Session(host, new Timeline(manifest, rows, slot));
      throw new LfmcError("run/sessions", `all ${manifest.limits.sessions} session slots are taken`, {
        subject: "model",
        hint: "Release a session, or compile with a larger --sessions.",
      });
    },
    release: (slot) => void free.push(slot),
    assertAlive: () => void alive(),
  };
  return {
    manifest,
    tokenizer,
    chatTemplate: parts.chatTemplate ?? null,
    variant: parts.variant ?? null,
    threads: parts.threads ?? 1,
    loadSeconds: parts.loadSeconds ?? 0,
    createSession: () => host.createSession(),
    restore: (bytes) => restoreInto(host.createSession(), bytes),
    evaluate: (turns, { signal } = {}) => Session.evaluate(host, turns, signal),
    forward: (rows) =>
      alive()
        .forward(rows)
        .map(({ logits }) => logits),
    choose: (rows) =>
      alive()
        .forward(rows)
        .map(({ likeliest }) => likeliest),
    dispose() {
      runner?.close();
      runner = null;
      return Promise.resolve();
    },
  };
}

function restoreInto(session: Session, bytes: Uint8Array): Session {
  try {
    session.load(bytes);
    return session;
  } catch (error) {
    session.release();
    throw error;
  }
}
