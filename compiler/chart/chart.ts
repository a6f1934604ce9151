/**
 * Numbers as a chart: `drawChart` makes one SVG of series of points on two axes. It needs no script, style sheet, font or id, so that it is a
 * file as well as a part of a page, several of them beside each other too; it brings its own light background along. Series differ by
 * colour (Okabe and Ito's, which colour-blind readers tell apart), by the shape of their marks and by dashes.
 */
import { measureAxis, placeAxis, type Measured, type Placed } from "./axis.ts";
import { legendRows, type LegendRow } from "./legend.ts";
import { drawSeries, lookOf } from "./series.ts";
import { drawing, element, escaped, line, textAt, textWidth } from "./svg.ts";

/** Logarithmic axes have ticks at powers of two where all their values are such, else at 1, 2 and 5 times powers of ten. */
export type Scale = "linear" | "log";

export interface Axis {
  readonly label: string;
  readonly scale: Scale;
  /** Text of a tick; by default the number, in JavaScript's shortest form. */
  readonly format?: (value: number) => string;
  /** The axis begins here, or lower where a point or rule lies lower. */
  readonly from?: number;
  /** The axis ends here, or higher where a point or rule lies higher. */
  readonly to?: number;
  /** Where ticks are; those beyond the axis are left out. */
  readonly ticks?: readonly number[];
}

/** Left out where its axis has no place for it: what is not finite or beyond 1e100 either way, and on a logarithmic axis what is below 1e-100. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** What a reader sees who points at its mark. */
  readonly title?: string;
  /** Instead of its series' `hollow`. */
  readonly hollow?: boolean;
}

export interface Series {
  /** As the legend says; a series with an empty name has no place there. */
  readonly name: string;
  /** In the order in which a line passes them. */
  readonly points: readonly Point[];
  /** Steps keep a point's height up to the next point. */
  readonly mark: "line" | "dots" | "line-dots" | "steps";
  readonly dashed?: boolean;
  /** Which colour and shape, counted from 0; by default the series' own place among the series. */
  readonly colour?: number;
  /** Whether marks are outlines alone. */
  readonly hollow?: boolean;
}

/** A line across the chart, for a budget or a limit. */
export interface Rule {
  readonly axis: "x" | "y";
  readonly at: number;
  readonly label: string;
}

export interface Chart {
  readonly title: string;
  /** A line below the title. */
  readonly note?: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly rules?: readonly Rule[];
  /** In px, 720 by default; at least 240. */
  readonly width?: number;
  /** In px, 440 by default; more where the legend would leave too little to the plot. */
  readonly height?: number;
}

const ink = { text: "#1c2128", quiet: "#57606a", grid: "#e1e4e8", frame: "#8c959f", rule: "#b3261e", background: "#ffffff" } as const;
const margin = 16;
const tickGap = 8;
const rowHeight = 18;
const leastPlotHeight = 160;

/** One chart as SVG; the same chart gives the same text. Points that have no place are left out, and the description says how many. */
export function drawChart(chart: Chart): string {
  const rules = chart.rules ?? [];
  const x = measureAxis(chart.x, valuesOf(chart.series, rules, "x"));
  const y = measureAxis(chart.y, valuesOf(chart.series, rules, "y"));
  const series = chart.series.map((each) => ({ ...each, points: each.points.filter((point) => x.holds(point.x) && y.holds(point.y)) }));
  const legend = legendRows(chart.series, Math.max(240, chart.width ?? 720) - 2 * margin);
  const frame = frameOf(chart, y, legend.length);
  const axes = { x: placeAxis(x, frame.left, frame.right), y: placeAxis(y, frame.bottom, frame.top) };
  const drawnRules = rules.filter(({ axis, at }) => (axis === "x" ? x : y).holds(at));
  const attributes = { role: "img", "font-family": "system-ui, sans-serif", "font-size": 12, fill: ink.text };
  return drawing(frame.width, frame.height, attributes, [
    element("title", {}, escaped(chart.title)),
    element("desc", {}, escaped(description(chart, series))),
    element("rect", { width: frame.width, height: frame.height, fill: ink.background }),
    ...drawHead(chart, legend),
    ...drawGrid(chart, axes, frame),
    ...drawnRules.map((rule, i) => drawRule(rule, axes, frame, i)),
    ...series.flatMap((each, i) => drawSeries(each, lookOf(each, i), axes)),
  ]);
}

/** The chart's size and the plot's place in it, in px. */
interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

interface Axes {
  readonly x: Placed;
  readonly y: Placed;
}

function frameOf(chart: Chart, y: Measured, legendCount: number): Frame {
  const width = Math.max(240, chart.width ?? 720);
  const left = margin + Math.max(...y.ticks.map(({ label }) => textWidth(label)), 0) + tickGap;
  const top = headHeight(chart) + legendCount * rowHeight + 2 * rowHeight;
  const bottom = Math.max(top + leastPlotHeight, (chart.height ?? 440) - 3 * rowHeight);
  return { width, height: bottom + 3 * rowHeight, left, right: width - margin - tickGap, top, bottom };
}

function headHeight({ note }: Chart): number {
  return margin + (note === undefined ? 1 : 2) * rowHeight;
}

function drawHead(chart: Chart, legend: readonly LegendRow[]): readonly string[] {
  const top = headHeight(chart);
  return [
    textAt(margin, margin + 8, chart.title, { "font-size": 14, "font-weight": 600 }),
    ...(chart.note === undefined ? [] : [textAt(margin, margin + 8 + rowHeight, chart.note, { fill: ink.quiet })]),
    ...legend.map((row, i) => element("g", { transform: `translate(${margin} ${top + i * rowHeight})` }, row.entries.join(""))),
  ];
}

function drawGrid(chart: Chart, { x, y }: Axes, { left, right, top, bottom }: Frame): readonly string[] {
  const quiet = { fill: ink.quiet };
  return [
    ...x.ticks.flatMap(({ at, label, isShown }) => [
      line(at, top, at, bottom, { stroke: ink.grid }),
      ...(isShown ? [textAt(at, bottom + rowHeight, label, { ...quiet, "text-anchor": "middle" })] : []),
    ]),
    ...y.ticks.flatMap(({ at, label, isShown }) => [
      line(left, at, right, at, { stroke: ink.grid }),
      ...(isShown ? [textAt(left - tickGap, at + 4, label, { ...quiet, "text-anchor": "end" })] : []),
    ]),
    element("path", { d: `M${left} ${top}V${bottom}H${right}`, fill: "none", stroke: ink.frame }),
    textAt((left + right) / 2, bottom + 2 * rowHeight, chart.x.label, { ...quiet, "text-anchor": "middle" }),
    textAt(margin, top - 0.6 * rowHeight, chart.y.label, quiet),
  ];
}

/** A rule and its label, which lies inside the plot; labels of upright rules do not lie at the same height. */
function drawRule({ axis, at, label }: Rule, { x, y }: Axes, { left, right, top, bottom }: Frame, index: number): string {
  const stroke = { stroke: ink.rule, "stroke-dasharray": "2 3" };
  const text = { fill: ink.rule };
  if (axis === "y")
    return line(left, y.at(at), right, y.at(at), stroke) + textAt(right - 4, y.at(at) - 4, label, { ...text, "text-anchor": "end" });
  const isRight = x.at(at) + textWidth(label) + 4 > right;
  const place = textAt(x.at(at) + (isRight ? -4 : 4), top + 12 + index * 14, label, { ...text, "text-anchor": isRight ? "end" : "start" });
  return line(x.at(at), top, x.at(at), bottom, stroke) + place;
}

function valuesOf(series: readonly Series[], rules: readonly Rule[], axis: "x" | "y"): readonly number[] {
  const points = series.flatMap((each) => each.points.map((point) => point[axis]));
  return [...points, ...rules.filter((rule) => rule.axis === axis).map(({ at }) => at)];
}

/** For those who do not see the chart. */
function description(chart: Chart, drawn: readonly Series[]): string {
  const count = (all: readonly Series[]): number => all.reduce((sum, { points }) => sum + points.length, 0);
  const missing = count(chart.series) - count(drawn);
  const names = drawn.map(({ name, points }) => `${name} (${points.length})`).join(", ");
  const left = missing === 0 ? "" : ` ${missing} points have no place on these axes and are left out.`;
  return `${chart.y.label} over ${chart.x.label}. Points of each series: ${names}.${left}`;
}
