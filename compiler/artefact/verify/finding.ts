/** What `lfmc verify` finds: one line for each thing that it looked at. A fault ends the check that met it, and no other. */
import { LfmcError as RuntimeError } from "../../../runtime/errors.ts";
import { LfmcError, type ErrorCode, printable } from "../../errors.ts";

export type Finding =
  /** As it should be; or worth knowing, and no fault. */
  | { readonly state: "ok" | "note"; readonly subject: string; readonly fact: string }
  | { readonly state: "fault"; readonly error: LfmcError | RuntimeError };

/** Findings as they are made. */
export type Findings = AsyncGenerator<Finding, void, void>;

/** `subject` was looked at and is as it should be. */
export function ok(subject: string, fact: string): Finding {
  return { state: "ok", subject: printable(subject), fact: printable(fact) };
}

/** `subject` differs from what one would expect, which does no harm by itself. */
export function note(subject: string, fact: string): Finding {
  return { state: "note", subject: printable(subject), fact: printable(fact) };
}

/** The manifest and a file do not belong together, or one of them was altered. */
export function mismatch(subject: string, fact: string): LfmcError {
  return fault("artefact/mismatch", subject, fact, "the file was altered or belongs to another artefact: copy or compile it again");
}

/** The artefact does not hold together, whatever its hashes say. */
export function invalid(subject: string, fact: string): LfmcError {
  return fault(
    "artefact/invalid",
    subject,
    fact,
    "the artefact was altered, or written by another version of lfmc: compile the model again",
  );
}

/** A file is not there, or cannot be read. */
export function unreadable(subject: string, fact: string, cause?: unknown): LfmcError {
  return fault("io/missing", subject, fact, "an artefact's folder must be kept whole: copy or compile it again", cause);
}

function fault(code: ErrorCode, subject: string, fact: string, hint: string, cause?: unknown): LfmcError {
  return new LfmcError(code, fact, { subject, hint, cause });
}

/**
 * The findings of `check`, and what it returns; where it throws for what it was given, that is the last of them, and null. Whatever else it
 * throws is lfmc's own fault.
 */
export async function* untilFault<Result>(check: AsyncGenerator<Finding, Result, void>): AsyncGenerator<Finding, Result | null, void> {
  try {
    return yield* check;
  } catch (error) {
    if (!(error instanceof LfmcError || error instanceof RuntimeError)) throw error;
    yield { state: "fault", error };
    return null;
  }
}

/** What `check` finds without waiting for anything; as `untilFault`. */
export function findingOf(check: () => Finding): Finding {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof LfmcError)) throw error;
    return { state: "fault", error };
  }
}

/** What a finding is about, and what it says of that. */
export function wordsOf(finding: Finding): { readonly subject: string; readonly fact: string } {
  if (finding.state !== "fault") return finding;
  const { subject, message } = finding.error;
  return { subject, fact: message.slice(subject.length + 2) };
}

/** `1,234,567 bytes` */
export function byteText(bytes: number): string {
  return `${bytes.toLocaleString("en-US")} bytes`;
}

/** A sha256 as it is shown: its beginning. */
export function hashText(sha256: string): string {
  return `sha256 ${sha256.slice(0, 12)}…`;
}
