/** The study's plots: a panel for each shape, memory in one file and times in another. */
import { drawChart, type Axis, type Chart, type Point, type Series } from "../../../compiler/chart/chart.ts";
import { drawing, element } from "../../../compiler/chart/svg.ts";
import type { DepthPlan, Figures, ShapeFigures } from "./figures.ts";
import { measuredOf } from "./prediction.ts";
import { kinds, type Kind } from "./study.ts";
import { timesOf, type Times } from "./times.ts";

const panel = { width: 420, height: 330 } as const;
const columns = 3;
const positions: Axis = { label: "positions", scale: "log", format: (value) => `${value / 1024}k` };
/** A model's series have one colour. */
const looks = { ours: { word: "LFM2", colour: 0 }, plain: { word: "plain", colour: 1 } } as const;

/** Whole plans, sessions alone, and the largest resident sets that were measured. */
export function memoryPlot({ shapes }: Figures): string {
  return grid(
    shapes.map((shape) => ({
      ...panel,
      title: shape.names.join(", "),
      x: positions,
      y: { label: "MB", scale: "linear", from: 0, format: grouped },
      series: kinds.flatMap((kind) => memorySeries(shape, kind)),
    })),
  );
}

/** Milliseconds of a decoded token; marks are filled where it was measured. */
export function timePlot({ shapes }: Figures): string {
  const times = (["c-x86", "wasm-simd"] as const).flatMap((target) => timesOf(shapes, target) ?? []);
  return grid(
    shapes.map((shape) => ({
      ...panel,
      title: shape.names.join(", "),
      x: positions,
      y: { label: "ms a token", scale: "linear", from: 0, format: grouped },
      series: times.flatMap((each) => kinds.flatMap((kind) => timeSeries(shape, kind, each))),
    })),
  );
}

function memorySeries({ models }: ShapeFigures, kind: Kind): readonly Series[] {
  const { plans, measured } = models[kind];
  const { word, colour } = looks[kind];
  const line = (bytesOf: (plan: DepthPlan) => number): readonly Point[] =>
    plans.map((plan) => ({ x: plan.depth, y: bytesOf(plan) / 1e6, title: `${word}: ${grouped(bytesOf(plan) / 1e6)} MB` }));
  const peaks = measured.flatMap(({ target, context, peakBytes }) => (target === "c-x86" ? [{ x: context, y: peakBytes / 1e6 }] : []));
  return [
    { name: `${word}: whole plan`, points: line(({ totalBytes }) => totalBytes), mark: "line", colour },
    { name: `${word}: session`, points: line(({ sessionBytes }) => sessionBytes), mark: "line", dashed: true, colour },
    ...(peaks.length > 0 ? [{ name: `${word}: measured peak`, points: peaks, mark: "dots", colour } as const] : []),
  ];
}

function timeSeries(shape: ShapeFigures, kind: Kind, times: Times): readonly Series[] {
  const { word, colour } = looks[kind];
  const points = times.of(shape, kind).map(({ depth, seconds, isMeasured }) => {
    const title = `${word}: ${(1000 * seconds).toFixed(1)} ms, ${isMeasured ? "measured" : "planned"}`;
    return { x: depth, y: 1000 * seconds, hollow: !isMeasured, title };
  });
  if (points.length === 0) return [];
  const isModule = times.target === "wasm-simd";
  const hollow = measuredOf(shape.models[kind], times.target) === null;
  return [{ name: isModule ? `${word}, WASM` : word, points, mark: "line-dots", dashed: isModule, colour, hollow }];
}

function grid(charts: readonly Chart[]): string {
  const rows = Math.ceil(charts.length / columns);
  const placed = charts.map((chart, i) => {
    const [x, y] = [(i % columns) * panel.width, Math.floor(i / columns) * panel.height];
    return element("g", { transform: `translate(${x} ${y})` }, drawChart(chart));
  });
  return drawing(columns * panel.width, rows * panel.height, {}, placed);
}

function grouped(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}
