/** A repetition by one of the programs in `children/`. */
import { join } from "node:path";
import type { Job } from "../children/job.ts";
import { lastLine, runChild } from "../child.ts";
import { parseRepetition, type Figures, type Work } from "../figures.ts";
import { peersFolder } from "../folders.ts";

/** What a child says on stderr is the reason of its failure. */
const quietly = ["--disable-warning=ExperimentalWarning"];

/** Runs `children/NAME` in this Node with a job for the model at `path`. Throws as runChild does. */
export async function runTypescriptChild(
  name: string,
  path: string,
  work: Work,
  where: Pick<Job, "variant" | "page"> = {},
): Promise<Figures> {
  const job: Job = { ...work, ...where, path, startedAt: Date.now() };
  const { stdout, peakBytes } = await runChild(process.execPath, [...quietly, join(peersFolder, "children", name), JSON.stringify(job)]);
  return { ...parseRepetition(lastLine(stdout)), peakBytes };
}
