/**
 * The place of a batch's output: what may be there, what lies beside it while the work goes on, and how it appears, whole.
 *
 *     OUT.partial          the lines so far, in order (journal.ts)
 *     OUT.partial.job      what makes the batch the same when it goes on (job.ts)
 *     OUT.partial.lock-…   the process that works on it (claim.ts)
 */
import { rmSync, statSync } from "node:fs";
import { realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { cleanedUp } from "../artefact/interruption.ts";
import { LfmcError } from "../errors.ts";
import { claim } from "./claim.ts";
import { readJob, writeJob, type Job } from "./job.ts";
import { recoverJournal, type Tally } from "./journal.ts";
import { writeParquet } from "./output-parquet.ts";

/** An output that this process alone may write. */
export interface Output {
  /** Of the lines so far. */
  readonly journal: string;
  /** What it holds already. */
  readonly done: Tally;
  /** When the batch was begun, be it by an earlier process. */
  readonly started: Date;
  /** Puts the output, of which all lines are in the journal, in its place. */
  finish(): Promise<void>;
  /** Lets others write it. Works while the process ends. */
  release(): void;
}

/** What else a job says of its files. */
export interface Beside {
  readonly input: string;
  /** Whether a file at the output's place may be replaced. */
  readonly overwrite: boolean;
}

/**
 * Claims the place at `path` for the job, which goes on where it was left. Throws io/exists where something else is there and may not be replaced,
 * where another job was begun or another process is at work, and what the system does.
 */
export async function openOutput(path: string, job: Job, { input, overwrite }: Beside): Promise<Output> {
  const place = await placeOf(path, overwrite);
  const journal = `${place}.partial`;
  const jobFile = `${journal}.job`;
  if (await isOneOf([place, journal, jobFile], input)) {
    throw new LfmcError("io/exists", "or what lies beside it is the file of prompts itself", {
      subject: path,
      hint: "choose another with -o",
    });
  }
  const unclaim = await claim(journal);
  const release = (): void => {
    // What nobody has worked for yet shall not stand in the way of another batch.
    if (bytesOf(journal) === 0) for (const file of [journal, jobFile]) rmSync(file, { force: true });
    unclaim();
  };
  try {
    const way = `give the same input, model and settings, or another file with -o; or delete ${journal} and ${jobFile} to begin anew`;
    const begun = bytesOf(journal) > 0 ? await readJob(jobFile, job, way) : { ...job, started: new Date().toISOString() };
    const done = await recoverJournal(journal);
    if (done.lines === 0) {
      await writeJob(jobFile, begun);
      await writeFile(journal, "");
    }
    return {
      journal,
      done,
      started: new Date(begun.started),
      finish: async () => {
        await (isParquetName(path) ? finishTable(journal, place) : rename(journal, place));
        await Promise.all([rm(journal, { force: true }), rm(jobFile)]);
      },
      release,
    };
  } catch (error) {
    unclaim();
    throw error;
  }
}

/** Whether a file that is there has one of the paths. */
async function isOneOf(paths: readonly string[], file: string): Promise<boolean> {
  const real = await realpath(file);
  const found = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  return found.includes(real);
}

/** 0 also where there is no file. */
function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

async function finishTable(journal: string, place: string): Promise<void> {
  const aside = `${journal}.parquet`;
  const clean = (): void => {
    rmSync(aside, { force: true });
  };
  await cleanedUp(clean, async () => {
    try {
      await writeParquet(journal, aside);
      await rename(aside, place);
    } catch (error) {
      clean();
      throw error;
    }
  });
}

/** Where the file itself is, or will be. */
async function placeOf(path: string, overwrite: boolean): Promise<string> {
  const found = await stat(path).catch(() => null);
  if (found === null) return resolve(path);
  if (!found.isFile()) throw new LfmcError("io/exists", "is not a file", { subject: path, hint: "choose another with -o" });
  if (overwrite) return await realpath(path);
  throw new LfmcError("io/exists", "exists", { subject: path, hint: "choose another with -o, or replace it with --overwrite" });
}

function isParquetName(path: string): boolean {
  return path.toLowerCase().endsWith(".parquet");
}
