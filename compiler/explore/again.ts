/** `lfmc explore --again`: builds the points of a search's fronts anew, measures them, and tells whether each still keeps the budgets. */
import { printTable, type Column } from "../bench/table.ts";
import { required } from "../errors.ts";
import { exceededBudgets } from "./budgets.ts";
import { siteFigures } from "./site-figures.ts";
import { isRefused, type BudgetName, type Laboratory, type Measured, type Point, type Refused, type Results, type Site } from "./types.ts";

/** A point of a front at its site. */
export interface AgainPoint {
  readonly id: string;
  readonly target: Site["target"];
  /** What the search had measured. */
  readonly before: Pick<Measured, "decodeMs" | "prefillMs" | "memoryBytes">;
  readonly now: Measured | Refused;
  /** Budgets that the new figures exceed, themselves and not with a margin: for this the search had kept it. */
  readonly exceeded: readonly BudgetName[];
}

export interface Again {
  /** Whether every point could be measured and keeps all budgets; true of no points. */
  readonly keeps: boolean;
  readonly points: readonly AgainPoint[];
  /** Sites that are not those of the search any more: another processor, engine or compiler. */
  readonly changed: readonly string[];
}

/** Measures the points of all fronts; the laboratory's sites are of the results' targets. */
export async function measureAgain(results: Results, laboratory: Laboratory): Promise<Again> {
  const wanted = results.points.filter(({ candidate }) => results.fronts.some((ids) => ids.includes(candidate.id)));
  const measured = await laboratory.measure(wanted.map(({ candidate }) => candidate));
  const points = results.fronts.flatMap((ids, site) =>
    ids.map((id) => {
      const at = wanted.findIndex(({ candidate }) => candidate.id === id);
      return compare(results, required(wanted[at], id), site, required(measured[at]?.[site], "measurement"));
    }),
  );
  const keeps = points.every(({ now, exceeded }) => !isRefused(now) && exceeded.length === 0);
  return { keeps, points, changed: changedSites(results.sites, laboratory.sites) };
}

function compare({ sites, budgets }: Results, point: Point, site: number, now: Measured | Refused): AgainPoint {
  const { candidate, parameters } = point;
  return {
    id: candidate.id,
    target: required(sites[site], "site").target,
    before: required(siteFigures(required(point.sites[site], "site")), `figures of ${candidate.id}`),
    now,
    exceeded: isRefused(now) ? [] : exceededBudgets({ ...now, parameters }, { ...budgets, margin: 0 }),
  };
}

function changedSites(then: readonly Site[], now: readonly Site[]): readonly string[] {
  return then.flatMap((site, i) => {
    const [was, is] = [describeSite(site), describeSite(required(now[i], site.target))];
    return was === is ? [] : [`${site.target}: the search measured on ${was}; this is ${is}`];
  });
}

function describeSite({ variant, engine, cpu, threads }: Site): string {
  return `${variant}, ${engine}, ${cpu}, threads ${threads}`;
}

/** A table of the points, and whether all hold. */
export function describeAgain({ keeps, points, changed }: Again): string {
  const verdict = keeps ? "every point keeps its budgets" : "not every point keeps its budgets";
  return [...changed, printTable(points, columns), "", `${points.length} points of the fronts, built and measured again: ${verdict}`].join(
    "\n",
  );
}

const measured =
  (text: (now: Measured) => string) =>
  ({ now }: AgainPoint) =>
    isRefused(now) ? "-" : text(now);

const columns: readonly Column<AgainPoint>[] = [
  { title: "target", cell: ({ target }) => target },
  { title: "candidate", cell: ({ id }) => id },
  { title: "ms/token before", cell: ({ before }) => before.decodeMs.toFixed(3) },
  { title: "now", cell: measured(({ decodeMs }) => decodeMs.toFixed(3)) },
  { title: "prompt ms before", cell: ({ before }) => before.prefillMs.toFixed(0) },
  { title: "now", cell: measured(({ prefillMs }) => prefillMs.toFixed(0)) },
  { title: "MB", cell: measured(({ memoryBytes }) => (memoryBytes / 1e6).toFixed(1)) },
  {
    title: "budgets",
    cell: ({ now, exceeded }) => (isRefused(now) ? now.refused : exceeded.length === 0 ? "kept" : `broken: ${exceeded.join(", ")}`),
    left: true,
  },
];
