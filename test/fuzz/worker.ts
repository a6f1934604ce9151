/**
 * A process that runs some of a target's cases and tells its parent what came of them. Which case it is at stands in a file, so that the
 * parent knows it when it has to end a process that hangs.
 */
import { cp } from "node:fs/promises";
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Verdict } from "./judge.ts";
import { caseOf, compileCase, runCase } from "./run-case.ts";
import { targets } from "./targets.ts";

/** What a worker is told: its cases are `first` up to `end`. */
export interface Batch {
  readonly target: string;
  readonly seed: number;
  readonly first: number;
  readonly end: number;
  /** What was prepared. */
  readonly base: string;
  /** A new folder, for this worker alone. */
  readonly folder: string;
}

/** What a worker tells of a case. */
export interface Told extends Verdict {
  readonly index: number;
  readonly compiled: boolean;
}

/** One in so many cases is compiled whole. */
const casesBetweenCompiles = 500;

async function work({ target: name, seed, first, end, base, folder }: Batch): Promise<void> {
  const target = targets.find((one) => one.name === name);
  if (!target) throw new Error(`no target ${name}`);
  const own = join(folder, "base");
  await cp(base, own, { recursive: true });
  const open = await target.open(own);
  const place = openSync(join(folder, "place"), "w");
  const told: Told[] = [];
  const tell = async (): Promise<void> => {
    const batch = told.splice(0);
    await new Promise((resolve) => process.send?.(batch, resolve));
  };
  for (let index = first; index < end; index++) {
    writeSync(place, String(index).padStart(12), 0);
    const one = caseOf(open, name, seed, index);
    told.push({ index, compiled: false, ...(await runCase(open, own, one)) });
    if (index % casesBetweenCompiles === 0) {
      const verdict = await compileCase(open, own, one);
      if (verdict) told.push({ index, compiled: true, ...verdict });
    }
    if (told.length >= 100) await tell();
  }
  await tell();
  await open.close();
}

process.once("message", (batch: Batch) => {
  void work(batch).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${String(error instanceof Error ? error.stack : error)}\n`);
      process.exit(3);
    },
  );
});
