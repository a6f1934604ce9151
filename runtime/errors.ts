/**
 * Every way in which the runtime refuses: an artefact that does not hold together, a call that asks for what was not compiled, a
 * host that lacks something. Same shape as the compiler's error, so that one handler serves both; the runtime stands alone, so
 * the class is its own.
 */

/** Codes are `area/fact`; scripts may rely on them, so they are never renamed. */
export type ErrorCode =
  | "artefact/invalid"
  | "artefact/mismatch"
  | "io/missing"
  | "io/unreadable"
  | "run/input"
  | "run/context"
  | "run/sessions"
  | "run/busy"
  | "run/disposed"
  | "run/variant"
  | "run/memory"
  | "run/thread"
  | "run/aborted"
  | "chat/template";

/** What an error names: its subject, the way out, and what caused it. */
export interface ErrorDetails {
  /** What the error is about: a file, an option, a session. */
  readonly subject: string;
  /** The way out, as an instruction. */
  readonly hint: string;
  /** The error behind it, if any. */
  readonly cause?: unknown;
}

/** The artefact, the call or the host is at fault. `message` reads "<subject>: <fact>", `hint` says how to go on. */
export class LfmcError extends Error {
  override readonly name = "LfmcError";
  /** What kind of fault it is. */
  readonly code: ErrorCode;
  /** What is at fault. */
  readonly subject: string;
  /** The way out. */
  readonly hint: string;

  constructor(code: ErrorCode, fact: string, details: ErrorDetails) {
    const subject = printable(details.subject);
    super(`${subject}: ${printable(fact)}`, { cause: details.cause });
    this.code = code;
    this.subject = subject;
    this.hint = details.hint;
  }
}

/**
 * The beginning of a text from a file, with nothing in it that a terminal obeys: no control characters, no line ends, no turning of the writing
 * direction.
 */
function printable(text: string): string {
  return text.slice(0, 900).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
}

/** Throws `run/aborted`, with the signal's reason as its cause, if `signal` has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, subject: string): void {
  if (!signal?.aborted) return;
  throw new LfmcError("run/aborted", "aborted by the caller's signal", { subject, hint: "Call it again to go on.", cause: signal.reason });
}
