/**
 * Every way in which lfmc refuses its input. An error names its subject (a tensor, a flag, a file), states the fact and says
 * how to go on. A fault of lfmc itself is another class: `InternalError`, thrown by `internal` and `assertNever`.
 */

/** Codes are `area/fact`; scripts may rely on them, so they are never renamed. */
export type ErrorCode =
  | "usage/flag"
  | "usage/argument"
  | "io/missing"
  | "io/exists"
  | "io/unreadable"
  | "config/invalid"
  | "config/unsupported"
  | "weights/missing"
  | "weights/unexpected"
  | "weights/shape"
  | "weights/value"
  | "safetensors/header"
  | "safetensors/tensor"
  | "safetensors/index"
  | "gguf/header"
  | "gguf/metadata"
  | "gguf/tensor"
  | "plan/memory"
  | "artefact/invalid"
  | "artefact/mismatch"
  | "graph/invalid"
  | "graph/syntax"
  | "kernel/invalid"
  | "kernel/syntax"
  | "native/compiler"
  | "native/machine"
  | "run/input"
  | "run/context";

export interface ErrorDetails {
  /** What the error is about: a tensor's name, a path, a flag. */
  readonly subject: string;
  /** The way out, as an instruction. */
  readonly hint: string;
  readonly cause?: unknown;
}

/** The input is at fault. `message` reads "<subject>: <fact>", `hint` says how to go on. */
export class LfmcError extends Error {
  override readonly name = "LfmcError";
  readonly code: ErrorCode;
  readonly subject: string;
  readonly hint: string;

  constructor(code: ErrorCode, fact: string, details: ErrorDetails) {
    const subject = printable(details.subject);
    super(`${subject}: ${printable(fact)}`, { cause: details.cause });
    this.code = code;
    this.subject = subject;
    this.hint = details.hint;
  }
}

/** A text from a file, with nothing in it that a terminal obeys: no control characters, no line ends, no turning of the writing direction. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
}

/** A refusal of the operating system: no right, no room, too long a name. */
export interface SystemFault extends Error {
  /** EACCES, ENOSPC and the like. */
  readonly code: string;
}

/** Whether the operating system refused; such an error's message names the path. */
export function isSystemFault(error: unknown): error is SystemFault {
  return error instanceof Error && "syscall" in error && "code" in error;
}

/** lfmc itself is at fault: an invariant between two stages does not hold. */
export class InternalError extends Error {
  override readonly name = "InternalError";
}

/** Throws an `InternalError`; for states that no input can reach. */
export function internal(message: string): never {
  throw new InternalError(message);
}

/** The end of an exhaustive `switch`. */
export function assertNever(value: never): never {
  return internal(`unexpected ${JSON.stringify(value)}`);
}

/** Returns `value`, or throws an `InternalError` naming `what` where it is absent. */
export function required<T>(value: T | undefined | null, what: string): T {
  return value ?? internal(`no ${what}`);
}
