/** What `lfmc explore` prints of a search: each target's front, and how far the cost models were off. */
import { printTable, type Column } from "../bench/table.ts";
import { required } from "../errors.ts";
import { siteFigures } from "../explore/site-figures.ts";
import type { Point, Results, Site } from "../explore/types.ts";

/** The fronts as tables; the folder is where the rest lies. */
export function describeSearch(results: Results, folder: string): string {
  const { points, screened, sites, endedBy, budgets } = results;
  const ends = { measurements: "all measurements are taken", time: "the time is up", space: "nothing is left to measure" } as const;
  return [
    `${points.length} candidates measured, ${screened} looked at by the cost models; ended because ${ends[endedBy]}`,
    ...sites.flatMap((site, i) => describeSite(results, site, i)),
    "",
    `Times keep their budgets with a margin of ${percent(budgets.margin)}, in two measurements.`,
    `${folder}/report.html shows more; ${folder}/configs holds the configs, and the command that compiles each is in the report.`,
  ].join("\n");
}

function describeSite(results: Results, { target, variant, engine, cpu }: Site, index: number): readonly string[] {
  const front = required(results.fronts[index], "front").map((id) =>
    required(
      results.points.find(({ candidate }) => candidate.id === id),
      id,
    ),
  );
  const errors = required(results.models[index], "models").map(
    ({ figure, medianError }) => `${figure === "decodeMs" ? "decoding" : "prefill"} ${medianError === null ? "-" : percent(medianError)}`,
  );
  return [
    "",
    `${target} (${variant}; ${engine}; ${cpu})`,
    front.length === 0
      ? "no candidate that was measured keeps the budgets"
      : printTable(
          front.map((point) => ({ point, index })),
          columns,
        ),
    `median error of the cost models on candidates that they had not seen: ${errors.join(", ")}`,
  ];
}

interface Row {
  readonly point: Point;
  readonly index: number;
}

const figure =
  (text: (figures: { decodeMs: number; prefillMs: number; memoryBytes: number; cacheBytes: number }) => string) =>
  ({ point, index }: Row): string => {
    const figures = siteFigures(required(point.sites[index], "site"));
    return figures === null ? "-" : text(figures);
  };

const columns: readonly Column<Row>[] = [
  { title: "candidate", cell: ({ point }) => point.candidate.id },
  { title: "quality", cell: ({ point }) => (point.quality === null ? "-" : point.quality.toPrecision(4)) },
  { title: "weights", cell: ({ point }) => millions(point.parameters) },
  { title: "active", cell: ({ point }) => millions(point.activeParameters) },
  { title: "ms/token", cell: figure(({ decodeMs }) => decodeMs.toFixed(2)) },
  { title: "prompt ms", cell: figure(({ prefillMs }) => prefillMs.toFixed(0)) },
  { title: "MB", cell: figure(({ memoryBytes }) => (memoryBytes / 1e6).toFixed(1)) },
  { title: "cache MB", cell: figure(({ cacheBytes }) => (cacheBytes / 1e6).toFixed(1)) },
  { title: "architecture", cell: ({ point }) => architecture(point), left: true },
];

/** `10 x 320, CCACCACCAC, heads 5/1, ffn 960, 8 experts of 320, 2 a token, q4_0, cache f16`. */
function architecture({ candidate }: Point): string {
  const { layers, width, heads, kvHeads, ffnWidth, experts, quant, kv } = candidate;
  const pattern = layers.map((kind) => (kind === "conv" ? "C" : "A")).join("");
  const sparse = experts ? [`${experts.count} experts of ${experts.width}, ${experts.perToken} a token`] : [];
  return [`${layers.length} x ${width}`, pattern, `heads ${heads}/${kvHeads}`, `ffn ${ffnWidth}`, ...sparse, quant, `cache ${kv}`].join(
    ", ",
  );
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(1)} M`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
