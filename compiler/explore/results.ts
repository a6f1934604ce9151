/** What a search found, as it is written down: nothing that a second run with the same measurements would not write too. */
import { required } from "../errors.ts";
import { compileCommand, configPath } from "./candidate-build.ts";
import { configOf } from "./candidate-config.ts";
import { figuresAt, type Entry, type Proposal } from "./entry.ts";
import { exceededAt, type Standard } from "./front.ts";
import { reportModels } from "./models.ts";
import { reportHtml } from "./report.ts";
import type { Found } from "./search.ts";
import { sizesOf } from "./sizes.ts";
import type { Space } from "./space.ts";
import type { BySite, Point, Results, Site, SitePoint } from "./types.ts";

/** What was asked for. */
export interface Request extends Standard, Pick<Results, "lfmc" | "command" | "seed" | "evaluate"> {
  readonly space: Space;
  readonly sites: readonly Site[];
}

/** The results of a search. */
export function resultsOf(found: Found, request: Request): Results {
  const { lfmc, command, seed, budgets, evaluate, space, sites, frame } = request;
  const { entries, fronts, predictedFronts, models, refusals, rounds, screened, endedBy } = found;
  return {
    format: "lfmc-explore",
    version: 1,
    lfmc,
    command,
    seed,
    budgets,
    work: frame.work,
    sites,
    space: { ...space },
    base: { ...frame.base },
    evaluate,
    screened,
    rounds,
    endedBy,
    points: entries.map((entry) => pointOf(entry, entry, request)),
    fronts: fronts.map((front) => front.map(({ candidate }) => candidate.id)),
    predictedFronts: predictedFronts.map((front) => front.map((proposal) => pointOf(proposal, null, request))),
    models: reportModels(models, entries),
    refusals,
  };
}

/** A point; `entry` where it was measured. */
function pointOf(proposal: Proposal, entry: Entry | null, request: Request): Point {
  const { candidate } = proposal;
  const { frame, judge, sites } = request;
  const { parameters, activeParameters } = sizesOf(candidate, frame.base);
  return {
    candidate,
    parameters,
    activeParameters,
    ...judge.qualityOf(candidate),
    sites: sites.map((_, site) => sitePointOf(proposal, entry, site, request)),
    commands: sites.map((site) => compileCommand(candidate, site, frame.work)),
  };
}

function sitePointOf({ planned, predicted }: Proposal, entry: Entry | null, site: number, request: Request): SitePoint {
  const of = <T>(bySite: BySite<T> | null | undefined): T | null => (bySite ? required(bySite[site], "site") : null);
  return {
    planned: required(planned[site], "plan"),
    predicted: of(predicted),
    measured: of(entry?.measured),
    confirmed: of(entry?.confirmed),
    exceeded: entry === null || figuresAt(entry, site) === null ? [] : exceededAt(entry, site, request),
  };
}

/** A file of the folder of the results. */
export interface ResultFile {
  readonly path: string;
  readonly text: string;
}

/** The results, the report, and the config of each point of a front. */
export function resultFiles(results: Results, { frame }: Pick<Request, "frame">): readonly ResultFile[] {
  const onFront = new Set(results.fronts.flat());
  const told = [...results.points.filter(({ candidate }) => onFront.has(candidate.id)), ...results.predictedFronts.flat()];
  const configs = new Map(told.map(({ candidate }) => [configPath(candidate), jsonText(configOf(candidate, frame.base))]));
  return [
    { path: "results.json", text: jsonText(results) },
    { path: "report.html", text: reportHtml(results) },
    ...[...configs].map(([path, text]) => ({ path, text })),
  ];
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
