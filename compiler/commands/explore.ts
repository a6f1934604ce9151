/** `lfmc explore`: a search for architectures under budgets that are measured on this machine, and a check of what an earlier search found. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { packageVersion } from "../artefact/manifest.ts";
import { writeAside } from "../artefact/output-folder.ts";
import { now } from "../bench/timing.ts";
import { LfmcError } from "../errors.ts";
import { describeAgain, measureAgain } from "../explore/again.ts";
import { configPath } from "../explore/candidate-build.ts";
import { baseOf, configOf, defaultBase, withContext, withVocabulary } from "../explore/candidate-config.ts";
import { evaluateWith, type Verdict } from "../explore/evaluator.ts";
import { capacityJudge, commandJudge } from "../explore/judge.ts";
import { openLaboratory } from "../explore/laboratory.ts";
import { replayEvaluation, replayLaboratory, replayPace } from "../explore/replay.ts";
import { readResults } from "../explore/results-file.ts";
import { resultFiles, resultsOf, type Request } from "../explore/results.ts";
import { search, type Pace, type SearchProgress } from "../explore/search.ts";
import { sitesOf, usualTargets } from "../explore/sites.ts";
import { readSpace } from "../explore/space-file.ts";
import { defaultSpace, type Space } from "../explore/space.ts";
import type { BaseConfig, Candidate, Laboratory, Results, Site, Work } from "../explore/types.ts";
import { readJson } from "../import/json-file.ts";
import { budgetsOf, commandText, exploreFlags, workOf, type ExploreFlags } from "./explore-flags.ts";
import { describeSearch } from "./explore-summary.ts";
import { print, progress, warn } from "./report.ts";

export function exploreCommand(): Command {
  return exploreFlags().action(async (base: string | undefined, flags: ExploreFlags, command: Command) => {
    if (flags.again !== undefined) await checkAgain(flags.again, flags);
    else await explore(base, flags, command.getOptionValueSource("prompt") === "cli");
  });
}

/** Builds and measures the fronts of earlier results; exit status 1 where a point breaks a budget. */
async function checkAgain(path: string, { json }: ExploreFlags): Promise<void> {
  const results = await readResults(path);
  const { work, base } = results;
  const targets = results.sites.map(({ target }) => target);
  const laboratory = laboratoryOf(await sitesOf(targets, work.threads), work, base);
  try {
    const again = await measureAgain(results, laboratory);
    print(json ? JSON.stringify(again, null, 2) : describeAgain(again));
    if (!again.keeps) process.exitCode = 1;
  } finally {
    await laboratory.close();
  }
}

async function explore(baseFile: string | undefined, flags: ExploreFlags, promptIsGiven: boolean): Promise<void> {
  const { output } = flags;
  if (output === undefined) {
    throw new LfmcError("usage/flag", "is missing", { subject: "-o", hint: "name the folder of the results, or pass --again PATH" });
  }
  const budgets = budgetsOf(flags);
  const work = workOf(flags, promptIsGiven);
  const base = await baseFrom(baseFile, flags, work);
  const space = await spaceFrom(flags);
  const earlier = flags.replay === undefined ? null : { file: flags.replay, results: await readResults(flags.replay) };
  const sites = earlier ? earlier.results.sites : await sitesFrom(flags, work);
  const frame = { base, work, siteCount: sites.length };
  const found = await writeAside(
    output,
    async (folder) => {
      const evaluate = earlier ? replayEvaluation(earlier.results, earlier.file) : evaluationIn(folder, base, flags);
      const judge = flags.evaluate === undefined ? capacityJudge(base) : commandJudge(base, evaluate);
      const standard = { budgets, judge, frame };
      const device = laboratoryOf(sites, work, base);
      const laboratory = earlier ? replayLaboratory(earlier.results, earlier.file, device) : device;
      const pace = earlier ? replayPace(earlier.results) : clock(flags.maxMinutes);
      try {
        const { seed, measure: measurements } = flags;
        const outcome = await search({ ...standard, laboratory, space, seed, measurements, pace, onProgress: tellProgress });
        const targets = sites.map(({ target }) => target);
        const command = commandText(baseFile, flags, { work, targets });
        const request = { ...standard, lfmc: packageVersion, command, seed, evaluate: flags.evaluate ?? null, space, sites };
        return await writeResults(folder, resultsOf(outcome, request), request);
      } finally {
        await device.close();
        progress(null);
      }
    },
    { is: isSearch, name: "folder of lfmc explore" },
  );
  print(flags.json ? JSON.stringify(found, null, 2) : describeSearch(found, output));
}

/** Throws usage/flag where the budgets leave nothing that could be measured. */
async function writeResults(folder: string, results: Results, request: Request): Promise<Results> {
  if (results.points.length === 0) {
    throw new LfmcError("usage/flag", "leave nothing of the space that can be built", {
      subject: "--max-memory, --max-parameters, --space",
      hint: "raise the budgets, lower --context or --vocab, or widen the space",
    });
  }
  for (const { path, text } of resultFiles(results, request)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return results;
}

/** Whether a search has written the folder. */
async function isSearch(folder: string): Promise<boolean> {
  return (await readFile(join(folder, "results.json"), "utf8").catch(() => "")).includes('"format": "lfmc-explore"');
}

function laboratoryOf(sites: readonly Site[], work: Work, base: BaseConfig): Laboratory {
  return openLaboratory({ sites, work, configOf: (candidate) => configOf(candidate, base), onStage: progress });
}

async function sitesFrom({ targets }: ExploreFlags, { threads }: Work): Promise<readonly Site[]> {
  if (targets) return await sitesOf(targets, threads);
  const usual = await usualTargets();
  if (usual.note !== null) warn([usual.note]);
  return await sitesOf(usual.targets, threads);
}

async function baseFrom(file: string | undefined, { vocab }: ExploreFlags, { context }: Work): Promise<BaseConfig> {
  const base = withContext(file === undefined ? defaultBase : baseOf(await readJson(file), file), context);
  return vocab === undefined ? base : withVocabulary(base, vocab);
}

async function spaceFrom({ space: file, quant }: ExploreFlags): Promise<Space> {
  const space = file === undefined ? defaultSpace : await readSpace(file);
  return quant ? { ...space, quant: [...new Set(quant)] } : space;
}

/** Asks the user's command about a candidate, whose config lies in the folder of the results. */
function evaluationIn(
  folder: string,
  base: BaseConfig,
  { evaluate = "", evaluateSeconds }: ExploreFlags,
): (candidate: Candidate) => Promise<Verdict> {
  return async (candidate) => {
    const path = join(folder, configPath(candidate));
    const json = `${JSON.stringify(configOf(candidate, base), null, 2)}\n`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, json);
    progress(`evaluating ${candidate.id}`);
    return await evaluateWith(evaluate, { path, json }, evaluateSeconds);
  };
}

/** Candidates' worth of time that fitting, the last plans and the report may take. */
const spareCandidates = 3;

/** Time as it passes: each candidate that is pending takes as long as those of the last round took. */
function clock(maxMinutes: number): Pace {
  const begin = now();
  let last = { measured: 0, elapsed: 0 };
  return {
    allows: (_, measured, pending) => {
      const elapsed = now() - begin;
      const each = measured === 0 ? 0 : (elapsed - last.elapsed) / (measured - last.measured);
      last = { measured, elapsed };
      return elapsed + (pending + spareCandidates) * each <= 60 * maxMinutes;
    },
  };
}

function tellProgress({ entries, rounds, screened, stage }: SearchProgress): void {
  const done = stage === "confirmed" ? "the front is measured again" : `${rounds} rounds`;
  progress(`${entries.length} candidates measured, ${screened} looked at: ${done}`);
}
