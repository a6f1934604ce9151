/**
 * Kernels under the machine's roofs as one SVG: a plot for each variant after Williams, Waterman and Patterson (Roofline, CACM 52, 2009), both
 * axes logarithmic, multiply-adds per byte to the right and multiply-adds a second upwards. Plain text, made of nothing but the figures;
 * colours follow the reader's scheme, light or dark.
 */
import { drawing, element, line, textAt, title } from "../chart/svg.ts";
import type { KernelFigure } from "./kernels.ts";
import type { Roofs } from "./roofs.ts";

/** One plot. */
export interface Roofline {
  readonly variant: string;
  /** What ran it: engine and processor. */
  readonly host: string;
  readonly roofs: Roofs;
  readonly figures: readonly KernelFigure[];
}

const width = 1280;
const plot = { left: 64, top: 56, width: 620, height: 400 } as const;
const legendLeft = plot.left + plot.width + 40;
const lineHeight = 15;
/** Kernels of at least this share of their forward pass have a number in the plot and a line beside it. */
const labelledShare = 0.1;
/** Radius of a number's disc. */
const discRadius = 8;
const quiet = { class: "quiet" } as const;
const grid = { class: "grid" } as const;
const roofLine = { class: "roof" } as const;
const middle = { "text-anchor": "middle" } as const;
const end = { "text-anchor": "end" } as const;
/** Classes of the colours, one for each model and number of rows. */
const colours = ["a", "b", "c", "d", "e", "f", "g"] as const;

const style = `
  svg { font: 12px system-ui, sans-serif; fill: #1c2128; background: #ffffff; }
  .title { font-size: 14px; font-weight: 600; }
  .grid { stroke: #d6dae0; stroke-width: 1; }
  .roof { stroke: #57606a; stroke-width: 2; fill: none; }
  .leader { stroke: #8c959f; stroke-width: 1; }
  .quiet { fill: #57606a; }
  .dot { stroke: #ffffff; stroke-width: 1; }
  .number { font-size: 10px; font-weight: 600; text-anchor: middle; fill: #ffffff; }
  .a { fill: #0b62c4; } .b { fill: #b3480a; } .c { fill: #1a7f37; } .d { fill: #8250df; } .e { fill: #bf3989; } .f { fill: #6e5a00; } .g { fill: #0f766e; }
  @media (prefers-color-scheme: dark) {
    svg { fill: #e6edf3; background: #0d1117; }
    .grid { stroke: #30363d; }
    .roof { stroke: #9da7b3; }
    .quiet { fill: #9da7b3; }
    .dot { stroke: #0d1117; }
    .number { fill: #0d1117; }
    .a { fill: #58a6ff; } .b { fill: #f0883e; } .c { fill: #3fb950; } .d { fill: #bc8cff; } .e { fill: #ff7bb5; } .f { fill: #d2b52c; } .g { fill: #2dd4bf; }
  }
`;

/** The plots below each other. Every kernel is named: by its dot, or below the plot where it multiplies nothing. */
export function rooflineSvg(plots: readonly Roofline[]): string {
  const parts = plots.map(drawPlot);
  const heights = parts.map(({ height }) => height);
  const total = heights.reduce((sum, height) => sum + height, 0);
  const placed = parts.map(({ lines }, i) => {
    const top = heights.slice(0, i).reduce((sum, height) => sum + height, 0);
    return element("g", { transform: `translate(0 ${top})` }, `\n${lines.join("\n")}\n`);
  });
  return drawing(width, total, {}, [element("style", {}, style), ...placed]);
}

interface Drawn {
  readonly lines: readonly string[];
  readonly height: number;
}

function drawPlot(roofline: Roofline): Drawn {
  const { variant, host, roofs } = roofline;
  const figures = roofline.figures.toSorted((a, b) => b.share - a.share);
  const dots = figures.filter(({ record }) => record.macs > 0);
  const silent = figures.filter(({ record }) => record.macs === 0);
  const axes = axesOf(roofs, dots);
  const series = [...new Set(roofline.figures.map(seriesOf))];
  const colourOf = (figure: KernelFigure): string => colours[series.indexOf(seriesOf(figure)) % colours.length] ?? colours[0];
  const labelled = dots.filter(({ share }) => share >= labelledShare);
  const numbers = numberPlaces(axes, labelled);
  const legend = [
    ...series.map((name, i) => ({ mark: "●", colour: colours[i % colours.length] ?? colours[0], text: name })),
    ...labelled.map((figure, i) => ({ mark: String(i + 1), colour: colourOf(figure), text: describe(figure) })),
  ];
  const below = [...new Set(silent.map(({ record }) => record.kernel))].map((kernel) => `without multiplications: ${kernel}`);
  const bottom = plot.top + plot.height + 52;
  const lines = [
    textAt(plot.left, 20, `${variant}: ${host}`, { class: "title" }),
    textAt(plot.left, 38, describeRoofs(roofs), quiet),
    ...drawGrid(axes),
    ...drawRoofs(axes, roofs),
    ...numbers.map(({ dot, disc }) => line(dot.x, dot.y, disc.x, disc.y, { class: "leader" })),
    ...dots.map((figure) => drawDot(placeOf(axes, figure), figure, colourOf(figure))),
    ...numbers.flatMap(({ figure, disc }, i) => drawNumber(disc, figure, colourOf(figure), i + 1)),
    ...legend.flatMap(({ mark, colour, text }, i) => {
      const y = plot.top + 8 + i * lineHeight;
      return [textAt(legendLeft, y, mark, { class: colour, ...middle }), textAt(legendLeft + 14, y, text)];
    }),
    ...below.map((text, i) => textAt(plot.left, bottom + i * lineHeight, text, quiet)),
  ];
  const height = Math.max(bottom + below.length * lineHeight, plot.top + 8 + legend.length * lineHeight) + 24;
  return { lines, height };
}

/** What shares a colour. */
function seriesOf({ model, rows }: KernelFigure): string {
  return `${model}, ${rows} ${rows === 1 ? "row" : "rows"} a call`;
}

function describe({ record, share }: KernelFigure): string {
  return `${record.kernel}, ${(share * 100).toFixed(1)} %`;
}

function describeRoofs({ readBandwidth, dotRate, floatRate }: Roofs): string {
  return `reads ${giga(readBandwidth)} GB/s; multiplies ${giga(dotRate)} GMAC/s (8 x 4 bit) and ${giga(floatRate)} GMAC/s (f32) in registers`;
}

/** Whole decades that hold the dots and the roofs' corners, and where numbers lie between them. */
interface Axes {
  readonly x: Axis;
  readonly y: Axis;
}

interface Axis {
  readonly decades: readonly number[];
  readonly at: (value: number) => number;
}

function axesOf({ readBandwidth, dotRate, floatRate }: Roofs, figures: readonly KernelFigure[]): Axes {
  const rates = [dotRate, floatRate];
  const intensities = figures.map(({ record }) => record.macs / record.bytes);
  return {
    x: axis([...intensities, ...rates.map((rate) => (2 * rate) / readBandwidth)], plot.left, plot.width),
    y: axis([...figures.map(({ record }) => record.macs / record.seconds), ...rates], plot.top + plot.height, -plot.height),
  };
}

function axis(values: readonly number[], start: number, length: number): Axis {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  return {
    decades: Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i)),
    at: (value) => start + ((Math.log10(value) - first) / (last - first)) * length,
  };
}

function drawGrid({ x, y }: Axes): readonly string[] {
  const bottom = plot.top + plot.height;
  return [
    ...x.decades.flatMap((value) => [
      line(x.at(value), plot.top, x.at(value), bottom, grid),
      textAt(x.at(value), bottom + 15, String(value), { ...quiet, ...middle }),
    ]),
    ...y.decades.flatMap((value) => [
      line(plot.left, y.at(value), plot.left + plot.width, y.at(value), grid),
      textAt(plot.left - 6, y.at(value) + 4, String(value / 1e9), { ...quiet, ...end }),
    ]),
    textAt(plot.left + plot.width / 2, bottom + 30, "multiply-adds per byte", { ...quiet, ...middle }),
    textAt(plot.left - 6, plot.top - 8, "GMAC/s", { ...quiet, ...end }),
  ];
}

/** The slope of memory up to the higher roof, and both roofs from the slope on. */
function drawRoofs({ x, y }: Axes, { readBandwidth, dotRate, floatRate }: Roofs): readonly string[] {
  const [left = 1] = x.decades;
  const right = x.decades.at(-1) ?? left;
  const lowest = y.decades[0] ?? 1;
  const start = Math.max(left, lowest / readBandwidth);
  const highest = Math.max(dotRate, floatRate);
  const roof = (rate: number, name: string): readonly string[] => [
    line(x.at(Math.max(left, rate / readBandwidth)), y.at(rate), x.at(right), y.at(rate), roofLine),
    textAt(x.at(right) - 4, y.at(rate) - 5, name, { ...quiet, ...end }),
  ];
  return [
    line(x.at(start), y.at(start * readBandwidth), x.at(highest / readBandwidth), y.at(highest), roofLine),
    ...roof(dotRate, "8 x 4 bit in registers"),
    ...roof(floatRate, "f32 in registers"),
  ];
}

interface Place {
  readonly x: number;
  readonly y: number;
}

function placeOf({ x, y }: Axes, { record: { macs, bytes, seconds } }: KernelFigure): Place {
  return { x: x.at(macs / bytes), y: y.at(macs / seconds) };
}

interface NumberPlace {
  readonly figure: KernelFigure;
  readonly dot: Place;
  readonly disc: Place;
}

/** Where the discs with the dots' numbers go: beside the dot, on the side of the plot's middle, as near as earlier discs allow. */
function numberPlaces(axes: Axes, figures: readonly KernelFigure[]): readonly NumberPlace[] {
  const places: NumberPlace[] = [];
  for (const figure of figures) {
    const dot = placeOf(axes, figure);
    const isTaken = (x: number): boolean => places.some(({ disc }) => Math.hypot(disc.x - x, disc.y - dot.y) < 2 * discRadius);
    const direction = dot.x < plot.left + plot.width / 2 ? 1 : -1;
    let x = dot.x + 1.5 * discRadius * direction;
    while (isTaken(x)) x += direction;
    places.push({ figure, dot, disc: { x, y: dot.y } });
  }
  return places;
}

function drawDot({ x, y }: Place, figure: KernelFigure, colour: string): string {
  return element("circle", { cx: x, cy: y, r: 3.5, class: `dot ${colour}` }, titleOf(figure));
}

function drawNumber({ x, y }: Place, figure: KernelFigure, colour: string, number: number): readonly string[] {
  return [
    element("circle", { cx: x, cy: y, r: discRadius, class: `dot ${colour}` }, titleOf(figure)),
    textAt(x, y + 3.5, String(number), { class: "number" }),
  ];
}

/** What a reader sees who points at a kernel. */
function titleOf(figure: KernelFigure): string {
  const { gmacPerSecond, gbPerSecond, roofRatio, shape } = figure.record;
  const rates = `${gmacPerSecond.toFixed(1)} GMAC/s, ${gbPerSecond.toFixed(1)} GB/s, ${roofRatio.toFixed(2)} of its roof`;
  return title(`${describe(figure)}: ${rates}; ${shape}`);
}

function giga(perSecond: number): string {
  return (perSecond / 1e9).toFixed(1);
}
