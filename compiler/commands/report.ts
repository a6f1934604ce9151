/** Diagnostics: errors and warnings on stderr, coloured where that is wanted, and the exit status of an error. */
import pc from "picocolors";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { isSystemFault, LfmcError } from "../errors.ts";
import type { Progress } from "../options.ts";

function isInputFault(error: unknown): error is LfmcError | RuntimeError {
  return error instanceof LfmcError || error instanceof RuntimeError;
}

/** 2 for a wrong flag or argument, 1 for everything else. */
export function exitStatus(error: unknown): 1 | 2 {
  return isInputFault(error) && error.code.startsWith("usage/") ? 2 : 1;
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** `error: subject: fact`, the way out below it; a stack only where lfmc itself is at fault. */
export function report(error: unknown): void {
  if (isSystemFault(error)) {
    tell(`${pc.red("error:")} ${error.message} ${pc.dim("[io/unreadable]")}`);
    tell(`${pc.cyan("hint:")} check that the path exists, may be used, and has room`);
    return;
  }
  if (!isInputFault(error)) {
    tell(error instanceof Error ? (error.stack ?? error.message) : String(error));
    tell(pc.red("This is a fault of lfmc itself: please report it with the lines above."));
    return;
  }
  tell(`${pc.red("error:")} ${error.message} ${pc.dim(`[${error.code}]`)}`);
  tell(`${pc.cyan("hint:")} ${error.hint}`);
}

export function warn(warnings: readonly string[]): void {
  for (const warning of warnings) tell(`${pc.yellow("warning:")} ${warning}`);
}

/** Prints data on stdout. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

const barWidth = 24;

/** A bar of how much of `total` is done, redrawn in place; silent where stderr is no terminal. */
export function progressBar(label: string, done: number, total: number): void {
  const share = total === 0 ? 1 : done / total;
  const filled = Math.round(share * barWidth);
  progress(`${"█".repeat(filled)}${"░".repeat(barWidth - filled)} ${Math.round(100 * share)} % ${label}`);
}

/** The bar of a compile's stage. */
export function stageBar({ stage, done, total, tensor }: Progress): void {
  progressBar(tensor === undefined ? stage : `${stage} ${tensor}`, done, total);
}

/** A line on stderr that is redrawn in place; silent where stderr is no terminal. `null` clears it. */
export function progress(line: string | null): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line ?? ""}`);
}
