/**
 * Writes an artefact aside and moves it into place when it is whole: a compile that fails leaves nothing, and never half of a folder.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isSystemFault, LfmcError } from "../errors.ts";
import { cleanedUp } from "./interruption.ts";
import { isArtefact } from "./is-artefact.ts";

/**
 * Runs `write` on an empty folder beside `output`, then puts that folder in `output`'s place and returns what `write` did. What was there
 * stays whole until then, whatever ends the process. Throws io/exists before writing, io/unreadable where the system refuses to write.
 */
export async function writeAside<Result>(
  output: string,
  write: (folder: string) => Promise<Result>,
  earlier: Earlier = { is: isArtefact, name: "lfmc artefact" },
): Promise<Result> {
  const target = resolve(output);
  // What cannot be taken away may stay.
  await tidyUp(target).catch(() => undefined);
  await checkReplaceable(target, earlier);
  await makeFolder(dirname(target)).catch((cause: unknown) => {
    throw new LfmcError("io/exists", "cannot be made a folder", { subject: dirname(target), hint: "choose another folder with -o", cause });
  });
  const aside = besideName(target, "partial");
  // Files that are being written meanwhile may turn up in a folder that was just emptied.
  const clean = (): void => {
    rmSync(aside, { recursive: true, force: true, maxRetries: 20, retryDelay: 10 });
  };
  return await cleanedUp(clean, async () => {
    try {
      await rm(aside, { recursive: true, force: true });
      await mkdir(aside);
      const result = await write(aside);
      replace(target, aside);
      return result;
    } catch (error) {
      await rm(aside, { recursive: true, force: true }).catch(() => undefined);
      throw isSystemFault(error) ? unwritable(target, error) : error;
    }
  });
}

/** Makes a folder, and those above it that are missing. Node's own `recursive` never ends where a file system, such as /proc, takes no folders. */
async function makeFolder(path: string): Promise<void> {
  const unlessThere = (error: unknown): void => {
    if (!isSystemFault(error) || error.code !== "EEXIST") throw error;
  };
  await mkdir(path).catch(async (error: unknown) => {
    if (!isMissing(error) || dirname(path) === path) {
      unlessThere(error);
      return;
    }
    await makeFolder(dirname(path));
    await mkdir(path).catch(unlessThere);
  });
}

/** Puts `aside` in the place of `target`, whose old content goes last. In one turn: an interruption comes before or after it. */
function replace(target: string, aside: string): void {
  const old = besideName(target, "old");
  rmSync(old, { recursive: true, force: true });
  if (existsSync(target)) renameSync(target, old);
  try {
    renameSync(aside, target);
  } catch (error) {
    if (existsSync(old)) renameSync(old, target);
    throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

type Beside = "partial" | "old";

function besideName(target: string, kind: Beside): string {
  return join(dirname(target), `.${basename(target)}.${process.pid}.${kind}`);
}

/** Takes away what processes that were killed left beside `target`; an old artefact that one was about to replace comes back. */
async function tidyUp(target: string): Promise<void> {
  const folder = dirname(target);
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const prefix = `.${basename(target)}.`;
  for (const { name } of entries.filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix))) {
    const [, pid, kind] = /^(\d+)\.(partial|old)$/.exec(name.slice(prefix.length)) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    if (kind === "old" && !existsSync(target)) renameSync(join(folder, name), target);
    else await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Whether there is such a process beside this one. */
function isAlive(pid: number): boolean {
  try {
    return pid !== process.pid && process.kill(pid, 0);
  } catch (error) {
    return isSystemFault(error) && error.code === "EPERM";
  }
}

function unwritable(target: string, cause: NodeJS.ErrnoException): LfmcError {
  return new LfmcError("io/unreadable", `cannot be written: ${cause.message}`, {
    subject: target,
    hint: "check that the folder may be written and that its disk has room, or choose another with -o",
    cause,
  });
}

/** A folder that may be replaced. */
interface Earlier {
  readonly is: (folder: string) => Promise<boolean>;
  /** What errors call it. */
  readonly name: string;
}

/** Only an empty folder or an earlier one of its kind may be replaced: a slip in `-o` must not cost a user's files. */
async function checkReplaceable(target: string, earlier: Earlier): Promise<void> {
  const names = await readdir(target).catch((cause: unknown) => {
    if (isMissing(cause)) return [];
    throw new LfmcError("io/exists", "is not a folder", { subject: target, hint: "choose another folder with -o", cause });
  });
  if (names.length === 0) return;
  if (await earlier.is(target)) return;
  throw new LfmcError("io/exists", `exists and is no ${earlier.name}`, { subject: target, hint: "choose an empty or new folder with -o" });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
