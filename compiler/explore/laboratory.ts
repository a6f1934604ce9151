/**
 * Where candidates are built and measured on this machine. While they are built every core is busy and nothing is timed; then they are measured one
 * after the other, each in a fresh process, with nothing beside it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { LfmcError as RuntimeError } from "../../runtime/index.ts";
import { cleanedUp } from "../artefact/interruption.ts";
import { inFreshProcess } from "../bench/fresh-process.ts";
import { inTurn } from "../bench/records.ts";
import { median } from "../bench/timing.ts";
import { InternalError, LfmcError, required } from "../errors.ts";
import { startBuilders, type BuildJob, type Built } from "./builder.ts";
import { fast } from "./calm-samples.ts";
import { buildOptions } from "./candidate-build.ts";
import { planCandidate } from "./candidate-plan.ts";
import type { SpeedJob } from "./speed-process.ts";
import type { Speed } from "./speed.ts";
import { isRefused, type BySite, type Candidate, type Laboratory, type Measured, type Refused, type Site, type Work } from "./types.ts";

export interface LaboratoryOptions {
  readonly sites: readonly Site[];
  readonly work: Work;
  /** The config.json of a candidate. */
  readonly configOf: (candidate: Candidate) => unknown;
  /** Called with what is being done; null at the end of a batch. */
  readonly onStage: (stage: string | null) => void;
  /** Processes that build at once; by default one for each core. */
  readonly processes?: number;
}

/** Seconds that measuring a candidate at a site may take. */
const limit = 120;
/** How often a disturbed one is taken anew. */
const repeats = 3;

export function openLaboratory({ sites, work, configOf, onStage, processes }: LaboratoryOptions): Laboratory {
  const builders = startBuilders(processes);
  const measureSpeed = steadyMeasurement(speedOf);

  const jobsOf = async (folder: string, candidate: Candidate): Promise<readonly BuildJob[]> => {
    // An artefact is called like the folder of its config.
    const model = join(folder, candidate.id);
    await mkdir(model, { recursive: true });
    await writeFile(join(model, "config.json"), JSON.stringify(configOf(candidate)));
    return sites.map((site) => ({ model, output: join(model, site.target), ...buildOptions(candidate, site, work) }));
  };

  const measureBuilt = async (built: Built | Refused, { output }: BuildJob, site: Site): Promise<Measured | Refused> => {
    if (isRefused(built)) return built;
    const { library, moduleBytes, buildSeconds, memoryBytes, cacheBytes } = built;
    const base = pathToFileURL(`${output}/`).href;
    const speed = await measureSpeed({ base, library, variant: site.variant, threads: site.threads, prompt: work.prompt });
    if (isRefused(speed)) return speed;
    const { decodeMs, decodeSpread, prefillMs, peakBytes } = speed;
    return { decodeMs, decodeSpread, prefillMs, memoryBytes, cacheBytes, peakBytes, moduleBytes, buildSeconds };
  };

  const measureAll = async (folder: string, candidates: readonly Candidate[]): Promise<readonly BySite<Measured | Refused>[]> => {
    onStage(`building ${candidates.length} candidates`);
    const jobs = await inTurn(candidates, (candidate) => jobsOf(folder, candidate));
    const built = await builders.build(jobs.flat());
    return await inTurn(
      [...candidates.entries()],
      async ([at, { id }]) =>
        await inTurn([...sites.entries()], async ([index, site]) => {
          onStage(`measuring ${at + 1} of ${candidates.length}: ${id}, ${site.target}`);
          const job = required(jobs[at]?.[index], "job");
          const measured = await measureBuilt(required(built[at * sites.length + index], "result"), job, site);
          await rm(job.output, { recursive: true, force: true });
          return measured;
        }),
    );
  };

  return {
    sites,
    plan: async (candidate) =>
      await inTurn(sites, async (site) => await refusable(() => planCandidate(candidate, configOf(candidate), site, work))),
    measure: async (candidates) => {
      const folder = mkdtempSync(join(tmpdir(), "lfmc-explore-"));
      const clean = (): void => {
        rmSync(folder, { recursive: true, force: true });
      };
      try {
        return await cleanedUp(clean, () => measureAll(folder, candidates));
      } finally {
        clean();
        onStage(null);
      }
    },
    close: () => {
      builders.close();
      return Promise.resolve();
    },
  };
}

type MeasureSpeed = (job: SpeedJob) => Promise<Speed | Refused>;

/**
 * Measures anew where the fixed work beside a measurement took longer than it usually needs of a processor, and takes the least disturbed of the
 * measurements.
 */
export function steadyMeasurement(measure: MeasureSpeed): MeasureSpeed {
  const references: number[] = [];
  const isDisturbed = ({ reference }: Speed): boolean => reference.seconds > fast * median(references);
  const take: MeasureSpeed = async (job) => {
    const speed = await measure(job);
    if (!isRefused(speed)) references.push(speed.reference.processorSeconds);
    return speed;
  };
  return async (job) => {
    let best = await take(job);
    for (let repeat = 0; repeat < repeats && !isRefused(best) && isDisturbed(best); repeat++) {
      const next = await take(job);
      if (!isRefused(next) && next.reference.seconds < best.reference.seconds) best = next;
    }
    return best;
  };
}

/** TypeScript where this file is run from source, JavaScript where it was built. */
const entry = new URL(`./speed-process${extname(import.meta.url)}`, import.meta.url);

async function speedOf(job: SpeedJob): Promise<Speed | Refused> {
  return await refusable(async () => required((await inFreshProcess(entry, job, isSpeed, { limit }))[0], "speed"));
}

/** What `run` gives, or why the candidate cannot be had. A process that dies of one candidate says nothing of the next. */
async function refusable<Result>(run: () => Promise<Result>): Promise<Result | Refused> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof LfmcError || error instanceof RuntimeError || error instanceof InternalError) return { refused: error.message };
    throw error;
  }
}

/** Only our own entry file sends messages. */
function isSpeed(value: unknown): value is Speed {
  return typeof value === "object" && value !== null && "reference" in value;
}
