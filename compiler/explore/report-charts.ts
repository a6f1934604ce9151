/** The charts of a report: the Pareto fronts of a site, and how well its cost model foretold what was measured. */
import { drawChart, type Chart, type Point as ChartPoint, type Rule, type Series } from "../chart/chart.ts";
import { siteFigures, withMargin, type SiteFigures } from "./site-figures.ts";
import { isRefused, type Budgets, type Figure, type Point, type Results } from "./types.ts";

/** A point with a quality, and what is known of it at the site. */
interface Shown {
  readonly point: Point;
  readonly figures: SiteFigures;
  readonly quality: number;
}

/** What quality is laid over. */
interface Cost {
  readonly label: string;
  readonly of: (figures: SiteFigures) => number;
  /** The budget, and the budget less the margin where there is one. */
  readonly rules: (budgets: Budgets) => readonly Rule[];
}

/** Two charts stand beside each other. */
const size = { width: 590, height: 430 } as const;

const timeCost = (what: string, budgetOf: (budgets: Budgets) => number | null, of: Cost["of"]): Cost => ({
  label: what,
  of,
  rules: (budgets) => {
    const budget = budgetOf(budgets);
    if (budget === null) return [];
    const least = withMargin(budget, budgets);
    return [
      { axis: "x", at: budget, label: `${decimals(budget)} ms` },
      ...(budgets.margin === 0 ? [] : [{ axis: "x" as const, at: least, label: `${decimals(least)} ms` }]),
    ];
  },
});

const decodeCost = timeCost(
  "ms a token at the end of the context",
  ({ decodeMs }) => decodeMs,
  ({ decodeMs }) => decodeMs,
);
const prefillCost = timeCost(
  "ms for the prompt",
  ({ prefillMs }) => prefillMs,
  ({ prefillMs }) => prefillMs,
);
const memoryCost: Cost = {
  label: "MB of memory, weights included",
  of: ({ memoryBytes }) => memoryBytes / 1e6,
  rules: ({ memoryBytes }) =>
    memoryBytes === null ? [] : [{ axis: "x", at: memoryBytes / 1e6, label: `${decimals(memoryBytes / 1e6)} MB` }],
};

/** Quality over time and over memory at site `site`: the front, the other points that were measured, and what was only foretold. */
export function frontCharts(results: Results, site: number): readonly string[] {
  const costs = results.budgets.prefillMs === null ? [decodeCost, memoryCost] : [decodeCost, prefillCost, memoryCost];
  return costs.map((cost) => drawChart(frontChart(results, site, cost)));
}

function frontChart(results: Results, site: number, cost: Cost): Chart {
  const front = results.fronts[site] ?? [];
  const rules = cost.rules(results.budgets);
  const measured = shownOf(results.points, site);
  const onFront = measured.filter(({ point }) => front.includes(point.candidate.id));
  const others = measured.filter(({ point }) => !front.includes(point.candidate.id));
  const keeps = ({ point }: Shown): boolean => point.sites[site]?.exceeded.length === 0;
  const foretold = shownOf(results.predictedFronts[site] ?? [], site);
  const dots = (shown: readonly Shown[]): readonly ChartPoint[] =>
    shown.map((each) => chartPoint(each, cost)).toSorted((a, b) => a.x - b.x);
  const series: readonly Series[] = [
    { name: "front, measured twice", points: dots(onFront), mark: "dots", colour: 0 },
    { name: "keeps all budgets", points: dots(others.filter(keeps)), mark: "dots", colour: 1 },
    { name: "breaks a budget", points: dots(others.filter((each) => !keeps(each))), mark: "dots", colour: 2 },
    { name: "foretold, not built", points: dots(foretold), mark: "dots", colour: 3, hollow: true },
  ];
  return {
    title: `Quality over ${cost.label}`,
    ...(rules.length === 0
      ? {}
      : { note: rules.length === 1 ? "Dotted: the budget." : "Dotted: the budget, and the budget less the margin." }),
    x: { label: cost.label, scale: "log", format: decimals },
    y: { label: qualityLabel(results), scale: isPositive([...measured, ...foretold]) ? "log" : "linear", format: decimals },
    series: series.filter(({ points }) => points.length > 0),
    rules,
    ...size,
  };
}

/** What the axis of quality is called. */
export function qualityLabel({ evaluate }: Pick<Results, "evaluate">): string {
  return evaluate === null ? "capacity: effective parameters, millions" : "quality, by the command";
}

function shownOf(points: readonly Point[], site: number): readonly Shown[] {
  return points.flatMap((point) => {
    const own = point.sites[site];
    const figures = own ? siteFigures(own) : null;
    return figures === null || point.quality === null ? [] : [{ point, figures, quality: point.quality }];
  });
}

function chartPoint({ point: { candidate }, figures, quality }: Shown, cost: Cost): ChartPoint {
  const { decodeMs, prefillMs, memoryBytes } = figures;
  const title = `${candidate.id}: ${decimals(decodeMs)} ms a token, prompt ${decimals(prefillMs)} ms, ${decimals(memoryBytes / 1e6)} MB, quality ${decimals(quality)}`;
  return { x: cost.of(figures), y: quality, title };
}

function isPositive(shown: readonly Shown[]): boolean {
  return shown.every(({ quality }) => quality > 0);
}

const figureNames: Readonly<Record<Figure, string>> = { decodeMs: "a decoded token", prefillMs: "the prompt" };

/** What the cost model said before a candidate was measured, over what was measured, both in ms; one chart of both figures. */
export function modelChart({ points, models }: Results, site: number): string {
  const reports = models[site] ?? [];
  const series = reports.map(({ figure, medianError }, i): Series => {
    const error = medianError === null ? "" : `: median error ${(100 * medianError).toFixed(1)} %`;
    return { name: `${figureNames[figure]}${error}`, points: pairsOf(points, site, figure), mark: "dots", colour: i };
  });
  const values = series.flatMap((each) => each.points.flatMap(({ x, y }) => [x, y]));
  const ends = values.length === 0 ? [] : [Math.min(...values), Math.max(...values)];
  const diagonal: Series = { name: "right", points: ends.map((end) => ({ x: end, y: end })), mark: "line", dashed: true, colour: 7 };
  return drawChart({
    title: "Foretold over measured, of candidates that the model had not seen",
    x: { label: "measured ms", scale: "log", format: decimals },
    y: { label: "foretold ms", scale: "log", format: decimals },
    series: [...series.filter((each) => each.points.length > 0), ...(ends.length === 0 ? [] : [diagonal])],
    ...size,
  });
}

function pairsOf(points: readonly Point[], site: number, figure: Figure): readonly ChartPoint[] {
  return points.flatMap(({ candidate: { id }, sites }): readonly ChartPoint[] => {
    const { predicted, measured } = sites[site] ?? {};
    if (!predicted || !measured || isRefused(measured)) return [];
    const [y, x] = [predicted[figure], measured[figure]];
    return [{ x, y, title: `${id}: foretold ${decimals(y)} ms, measured ${decimals(x)} ms` }];
  });
}

/** Three digits that count, without an exponent where there is no need of one. */
export function decimals(value: number): string {
  return String(Number(value.toPrecision(3)));
}
