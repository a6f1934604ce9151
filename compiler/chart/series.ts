/** A series' points: as a line, as marks, or both. */
import {
  curveLinear,
  curveStepAfter,
  line as lineThrough,
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolTriangle,
  type SymbolType,
} from "d3-shape";
import type { Placed } from "./axis.ts";
import type { Point, Series } from "./chart.ts";
import { element, title } from "./svg.ts";

/** How a series is told from others. */
export interface Look {
  readonly colour: string;
  readonly shape: SymbolType;
}

/** x and y, in px. */
type Place = readonly [number, number];

/** Okabe and Ito (2008), the strongest first. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#444444"] as const;
/** Of another number than the colours, so that 35 series differ. */
const shapes = [symbolCircle, symbolSquare, symbolTriangle, symbolDiamond, symbolCross] as const;
/** Area of a mark, in square px. */
const markArea = 46;

/** The look of the series at place `index`. */
export function lookOf({ colour }: Series, index: number): Look {
  const which = Math.abs(Math.trunc(colour ?? index));
  return { colour: colours[which % colours.length] ?? colours[0], shape: shapes[which % shapes.length] ?? shapes[0] };
}

/** Draws the points, which both axes hold; a line of one point is a mark. */
export function drawSeries(series: Series, look: Look, { x, y }: { readonly x: Placed; readonly y: Placed }): readonly string[] {
  const { points, mark } = series;
  const at = (point: Point): Place => [x.at(point.x), y.at(point.y)];
  const path = mark === "dots" ? "" : drawPath(series, look, points.map(at));
  return [
    ...(path === "" ? [] : [path]),
    ...(hasMarks(mark) || path === ""
      ? points.map((point) => drawMark(look, point.hollow ?? series.hollow ?? false, at(point), point.title))
      : []),
  ];
}

/** What the legend shows of a series, `width` px wide, around y = 0. */
export function drawSample(series: Series, look: Look, width: number): string {
  const ends = [
    [0, 0],
    [width, 0],
  ] as const;
  const path = series.mark === "dots" ? "" : drawPath(series, look, ends);
  return path + (hasMarks(series.mark) ? drawMark(look, series.hollow ?? false, [width / 2, 0]) : "");
}

function hasMarks(mark: Series["mark"]): boolean {
  return mark === "dots" || mark === "line-dots";
}

/** A line through places, or nothing where there are fewer than two. */
function drawPath({ mark, dashed }: Series, { colour }: Look, places: readonly Place[]): string {
  if (places.length < 2) return "";
  const through = lineThrough().curve(mark === "steps" ? curveStepAfter : curveLinear);
  const dashes = dashed === true ? { "stroke-dasharray": "6 4" } : {};
  return element("path", {
    d: through.digits(2)(places.map(([px, py]) => [px, py])) ?? "",
    fill: "none",
    stroke: colour,
    "stroke-width": 2,
    ...dashes,
  });
}

function drawMark({ colour, shape }: Look, isHollow: boolean, [x, y]: Place, text?: string): string {
  const attributes = { fill: isHollow ? "#ffffff" : colour, stroke: colour, "stroke-width": 1.5 };
  const mark = element("path", { d: symbol(shape, markArea).digits(2)() ?? "", ...attributes }, text === undefined ? "" : title(text));
  return element("g", { transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})` }, mark);
}
