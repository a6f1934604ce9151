/**
 * The results of a search as one HTML page that needs nothing beside it: no script, no font, no other file. It is made of nothing but the results, so
 * that the same results give the same bytes.
 */
import { element, escaped } from "../chart/svg.ts";
import { configPath } from "./candidate-build.ts";
import { decimals, frontCharts, modelChart, qualityLabel } from "./report-charts.ts";
import { siteFigures, type SiteFigures } from "./site-figures.ts";
import { isRefused, type Candidate, type Measured, type Point, type Results, type Site } from "./types.ts";

const style = `
  body { font: 15px/1.5 system-ui, sans-serif; color: #1c2128; background: #fff; max-width: 78rem; margin: 0 auto; padding: 1rem 1.5rem 3rem; }
  h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-top: 1px solid #d6dae0; padding-top: 1rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
  code { font: 13px ui-monospace, monospace; }
  pre { background: #f3f4f6; padding: .6rem .8rem; overflow-x: auto; }
  .charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts svg { max-width: 100%; height: auto; }
  .wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
  th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e1e4e8; white-space: nowrap; vertical-align: top; }
  th { text-align: right; } .text { text-align: left; }
  @media (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117; } pre { background: #161b22; } h2, th, td { border-color: #30363d; } }
`;

/** The page. */
export function reportHtml(results: Results): string {
  const body = [
    heading(1, "Architectures that keep their budgets"),
    ...introduction(results),
    ...results.sites.flatMap((site, i) => siteSection(results, site, i)),
    ...failures(results),
    ...explanations(results),
  ];
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>lfmc explore</title><style>${style}</style>`;
  return `<!doctype html>\n<html lang="en">\n<head>${head}</head>\n<body>\n${body.join("\n")}\n</body>\n</html>\n`;
}

function introduction({ command, budgets, work, seed, screened, rounds, points, endedBy, lfmc }: Results): readonly string[] {
  const margin = `${decimals(100 * budgets.margin)} %`;
  const limit = (value: number | null, text: (value: number) => string): readonly string[] => (value === null ? [] : [text(value)]);
  const ended = { measurements: "it had made all its measurements", time: "its time was up", space: "the space held nothing more" }[
    endedBy
  ];
  return [
    element("pre", {}, element("code", {}, escaped(command))),
    list([
      ...limit(budgets.decodeMs, (ms) => `a token takes at most ${decimals(ms)} ms at the end of a context of ${work.context} positions`),
      ...limit(budgets.prefillMs, (ms) => `a prompt of ${work.prompt} tokens takes at most ${decimals(ms)} ms`),
      ...limit(
        budgets.memoryBytes,
        (bytes) => `memory, weights included, is at most ${decimals(bytes / 1e6)} MB for ${work.context} positions`,
      ),
      ...limit(budgets.parameters, (count) => `at most ${decimals(count / 1e6)} million parameters`),
    ]),
    paragraph(
      `A measured time counts as within its budget where it would be with ${margin} added, since machines vary from hour to hour; memory and parameters are exact. Threads: ${work.threads}. Seed: ${seed}. lfmc ${lfmc}.`,
    ),
    paragraph(
      `The cost model looked at ${screened} candidates; ${points.length} were built and measured on this machine, in ${rounds} rounds. The search ended because ${ended}.`,
    ),
  ];
}

function siteSection(results: Results, { target, variant, engine, cpu }: Site, site: number): readonly string[] {
  const ids = results.fronts[site] ?? [];
  const front = ids.flatMap((id) => results.points.filter(({ candidate }) => candidate.id === id));
  return [
    heading(2, `${target}, ${variant}`),
    paragraph(`${engine}; ${cpu}`),
    element("div", { class: "charts" }, [...frontCharts(results, site), modelChart(results, site)].join("\n")),
    heading(3, front.length === 0 ? "No measured candidate keeps all budgets." : `The front: ${front.length} candidates`),
    ...(front.length === 0 ? [] : [frontTable(results, front, site), heading(3, "To build them, from this folder"), commands(front, site)]),
  ];
}

interface Column {
  readonly title: string;
  readonly cell: (point: Point) => string;
  /** Flush left. */
  readonly isText?: boolean;
}

function frontTable(results: Results, front: readonly Point[], site: number): string {
  const columns = columnsAt(results, site);
  const row = (name: string, cell: (column: Column) => string): string =>
    element("tr", {}, columns.map((column) => element(name, column.isText ? { class: "text" } : {}, cell(column))).join(""));
  const head = row("th", ({ title }) => escaped(title));
  const rows = front.map((point) => row("td", ({ cell }) => escaped(cell(point))));
  return element("div", { class: "wide" }, element("table", {}, [head, ...rows].join("\n")));
}

function columnsAt({ evaluate }: Results, site: number): readonly Column[] {
  const of = (text: (figures: SiteFigures) => string) => (point: Point) => {
    const own = point.sites[site];
    const figures = own ? siteFigures(own) : null;
    return figures === null ? "none" : text(figures);
  };
  const ofLast = (text: (measured: Measured) => string) => of(({ measured }) => (measured ? text(measured) : "none"));
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const million = (count: number): string => `${(count / 1e6).toFixed(2)} M`;
  return [
    { title: "candidate", cell: ({ candidate }) => candidate.id, isText: true },
    { title: evaluate === null ? "capacity" : "quality", cell: ({ quality }) => (quality === null ? "none" : decimals(quality)) },
    { title: "ms a token", cell: of(({ decodeMs }) => decodeMs.toFixed(3)) },
    { title: "prompt ms", cell: of(({ prefillMs }) => prefillMs.toFixed(0)) },
    { title: "memory MB", cell: of(({ memoryBytes }) => megabytes(memoryBytes)) },
    { title: "parameters", cell: ({ parameters }) => million(parameters) },
    { title: "active", cell: ({ activeParameters }) => million(activeParameters) },
    { title: "layers", cell: ({ candidate }) => patternOf(candidate), isText: true },
    { title: "width", cell: ({ candidate }) => String(candidate.width) },
    { title: "heads / kv", cell: ({ candidate: { heads, kvHeads } }) => `${heads} / ${kvHeads}` },
    { title: "taps", cell: ({ candidate }) => String(candidate.convWidth) },
    { title: "feed-forward", cell: ({ candidate }) => feedForwardOf(candidate), isText: true },
    { title: "weights, cache", cell: ({ candidate: { quant, kv } }) => `${quant}, ${kv}`, isText: true },
    { title: "session MB", cell: of(({ cacheBytes }) => megabytes(cacheBytes)) },
    { title: "spread", cell: ofLast(({ decodeSpread }) => `${(100 * decodeSpread).toFixed(0)} %`) },
    { title: "peak MB", cell: ofLast(({ peakBytes }) => megabytes(peakBytes)) },
    { title: "code kB", cell: ofLast(({ moduleBytes }) => (moduleBytes / 1e3).toFixed(0)) },
  ];
}

/** One letter a layer: `ccAccA`. */
function patternOf({ layers }: Candidate): string {
  return layers.map((kind) => (kind === "conv" ? "c" : "A")).join("");
}

function feedForwardOf({ ffnWidth, experts }: Candidate): string {
  if (experts === null) return String(ffnWidth);
  const { count, perToken, width, denseLayers } = experts;
  return `${perToken} of ${count} experts of ${width}, the first ${denseLayers} dense: ${ffnWidth}`;
}

function commands(front: readonly Point[], site: number): string {
  const lines = front.flatMap(({ commands: own }) => own.slice(site, site + 1));
  return element("pre", {}, element("code", {}, escaped(lines.join("\n"))));
}

/** What could not be planned, built, measured or judged. */
function failures({ points, sites, refusals }: Results): readonly string[] {
  const measured = points.flatMap(({ candidate, sites: own }) =>
    own.flatMap(({ measured: first, confirmed }, i) =>
      [first, confirmed].flatMap((each) =>
        each !== null && isRefused(each) ? [`${candidate.id}, ${sites[i]?.target}: ${each.refused}`] : [],
      ),
    ),
  );
  const judged = points.flatMap(({ candidate, qualityFault }) =>
    qualityFault === null ? [] : [`${candidate.id}: no quality: ${qualityFault}`],
  );
  const lines = [...refusals.map(({ candidate, why }) => `${candidate.id}: ${why}`), ...measured, ...judged];
  return lines.length === 0 ? [] : [heading(2, "What was refused"), list(lines)];
}

function explanations(results: Results): readonly string[] {
  const { evaluate, work } = results;
  const quality =
    evaluate === null
      ? `Quality is ${qualityLabel(results)}: the geometric mean of all weights and of those that a token meets, without the embedding, times what a weight of so few bits keeps of its worth. It says what sizes tell, and nothing of data, training, or how well layers are arranged; --evaluate CMD puts a figure of your own in its place.`
      : "Quality is what the command of --evaluate printed for a candidate; of those that were not built, that of their nearest neighbours.";
  return [
    heading(2, "How to read this"),
    list([
      quality,
      `Layers: c is a gated short convolution, A is attention. A front holds the candidates that keep all budgets and that no other such candidate beats in quality, time and memory at once. Its points were built twice, in different processes, and the worse of both measurements counts.`,
      `Times are medians in a fresh process. A token is decoded at the last positions of the context, where attention reads most; a session's state was filled with small numbers in place of reading ${work.context} tokens, on whose values no time depends. Weights are random. Spread is the range from the 10th to the 90th percentile, of the median.`,
      `Memory is the plan's, to the byte: weights, one session of ${work.context} positions, scratch, logits. Peak is the resident set of the process that measured, engine included. Each candidate's config.json lies beside this page (${configPath({ id: "ID" })}).`,
      "The cost model was fitted as measurements came in; foretold figures are those from before a candidate was measured.",
    ]),
  ];
}

function heading(level: 1 | 2 | 3, text: string): string {
  return element(`h${level}`, {}, escaped(text));
}

function paragraph(text: string): string {
  return element("p", {}, escaped(text));
}

function list(items: readonly string[]): string {
  return items.length === 0 ? "" : element("ul", {}, items.map((item) => element("li", {}, escaped(item))).join("\n"));
}
