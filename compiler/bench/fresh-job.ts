/** What the entry files of fresh-process.ts share. It imports the runtime and no compiler, so that their peak memory is the model's. */
import { existsSync, readFileSync } from "node:fs";
import { load as loadModule, LfmcError, type Model } from "../../runtime/index.ts";
import { load as loadLibrary } from "../../runtime/library/index.ts";
import { internal } from "../errors.ts";
import type { RefusedJob } from "./fresh-process.ts";
import type { ModelPlace } from "./measurement.ts";

/** Does the job that the process was started with, and tells where the runtime refuses it. */
export async function runJob<Job>(isJob: (value: unknown) => value is Job, run: (job: Job) => Promise<void>): Promise<void> {
  const job: unknown = JSON.parse(process.argv[2] ?? "null");
  if (!isJob(job)) return internal("no job");
  try {
    await run(job);
  } catch (error) {
    if (!(error instanceof LfmcError)) throw error;
    const { code, subject, hint, message } = error;
    tell({ kind: "refused", code, subject, hint, fact: message.slice(`${subject}: `.length) } satisfies RefusedJob);
  }
}

export function tell(message: object): void {
  process.send?.(message);
}

/** Loads the model; throws what `load` of the runtime throws. */
export async function openPlace({ base, library, variant, threads }: ModelPlace): Promise<Model> {
  return await (library === null ? loadModule : loadLibrary)({
    base: new URL(base),
    library: library === null ? undefined : new URL(library),
    variant: variant ?? undefined,
    threads,
  });
}

/** Peak resident set; what getrusage says of it includes what the parent process held when it started this one. */
export function peakBytes(): number {
  const status = "/proc/self/status";
  const peak = existsSync(status) ? /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(status, "utf8")) : null;
  return Number(peak?.[1] ?? process.resourceUsage().maxRSS) * 1024;
}
