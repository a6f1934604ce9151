/**
 * Writes an artefact aside and moves it into place when it is whole: a compile that fails leaves nothing, and never half of a folder.
 */
import { renameSync, rmSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { constants } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { LfmcError } from "../errors.ts";
import { isArtefact } from "./is-artefact.ts";

/** Runs `write` on an empty folder beside `output`, then puts that folder in `output`'s place and returns what `write` did. Throws io/exists before writing. */
export async function writeAside<Result>(output: string, write: (folder: string) => Promise<Result>): Promise<Result> {
  const target = resolve(output);
  await checkReplaceable(target);
  await mkdir(dirname(target), { recursive: true }).catch((cause: unknown) => {
    throw new LfmcError("io/exists", "cannot be made a folder", { subject: dirname(target), hint: "choose another folder with -o", cause });
  });
  const aside = join(dirname(target), `.${basename(target)}.${process.pid}.partial`);
  await rm(aside, { recursive: true, force: true });
  await mkdir(aside);
  // An interrupted compile must not leave its half of an artefact either.
  const interrupted = (signal: NodeJS.Signals): void => {
    try {
      // Files that are being written meanwhile may turn up in a folder that was just emptied.
      rmSync(aside, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
    } finally {
      process.exit(128 + constants.signals[signal]);
    }
  };
  for (const signal of interrupts) process.once(signal, interrupted);
  try {
    const result = await write(aside);
    // In one turn: an interruption between them would cost both folders.
    rmSync(target, { recursive: true, force: true });
    renameSync(aside, target);
    return result;
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  } finally {
    for (const signal of interrupts) process.off(signal, interrupted);
  }
}

const interrupts = ["SIGINT", "SIGTERM"] as const;

/** Only an empty folder or an earlier artefact may be replaced: a slip in `-o` must not cost a user's files. */
async function checkReplaceable(target: string): Promise<void> {
  const names = await readdir(target).catch((cause: unknown) => {
    if (isMissing(cause)) return [];
    throw new LfmcError("io/exists", "is not a folder", { subject: target, hint: "choose another folder with -o", cause });
  });
  if (names.length === 0) return;
  if (await isArtefact(target)) return;
  throw new LfmcError("io/exists", "exists and is no lfmc artefact", { subject: target, hint: "choose an empty or new folder with -o" });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
