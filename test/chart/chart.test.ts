/** Charts of numbers that nobody measured: well-formed whatever they are given, with every point where its axes say, and the same each time. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { drawChart, type Axis, type Chart, type Series } from "../../compiler/chart/chart.ts";

const linear: Axis = { label: "x", scale: "linear" };
const log: Axis = { label: "y", scale: "log" };

function chartOf(series: readonly Series[], axes: Partial<Chart> = {}): Chart {
  return { title: "a chart", x: linear, y: log, series, ...axes };
}

/** Names of the elements that are open at the end; throws where one is closed that is not the last opened, and where there is bare < or &. */
function openElements(xml: string): readonly string[] {
  const open: string[] = [];
  const rest = xml.replaceAll(
    /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)(\/?)>/gi,
    (_, slash, name: string, attributes, empty) => {
      if (slash === "/" && (attributes !== "" || open.pop() !== name)) throw new Error(`</${name}> closes something else`);
      if (slash !== "/" && empty !== "/") open.push(name);
      return "";
    },
  );
  if (/[<>]|&(?!(amp|lt|gt|quot);)/.test(rest)) throw new Error(`not well-formed: ${rest}`);
  return open;
}

/** Places of the marks, without the legend's. */
function marks(svg: string): readonly (readonly [number, number])[] {
  const groups = svg.matchAll(
    /^<g transform="translate\(([\d.]+) ([\d.]+)\)"><path d="[^"]*" fill="[^"]*" stroke="[^"]*" stroke-width="1.5"/gm,
  );
  return [...groups].map(([, x, y]) => [Number(x), Number(y)]);
}

/** Places of the ticks that have a label, by the label. */
function tickPlaces(svg: string, axis: "x" | "y"): ReadonlyMap<string, number> {
  const anchor = axis === "x" ? "middle" : "end";
  const texts = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" fill="[^"]*" text-anchor="(\w+)">([^<]*)</g)];
  return new Map(texts.flatMap(([, x, y, at, label = ""]) => (at === anchor ? [[label, axis === "x" ? Number(x) : Number(y) - 4]] : [])));
}

const text = fc.string({ unit: "binary", maxLength: 12 });
const number = fc.oneof(fc.double(), fc.double({ min: -10, max: 1e6, noNaN: true }), fc.constantFrom(0, 1, 2, 1024, Number.MIN_VALUE));
const axis: fc.Arbitrary<Axis> = fc.record(
  { label: text, scale: fc.constantFrom("linear", "log"), from: number, to: number, ticks: fc.array(number, { maxLength: 5 }) },
  { requiredKeys: ["label", "scale"] },
);
const series: fc.Arbitrary<Series> = fc.record(
  {
    name: text,
    points: fc.array(fc.record({ x: number, y: number, title: text, hollow: fc.boolean() }, { requiredKeys: ["x", "y"] }), {
      maxLength: 6,
    }),
    mark: fc.constantFrom("line", "dots", "line-dots", "steps"),
    dashed: fc.boolean(),
    colour: fc.integer(),
    hollow: fc.boolean(),
  },
  { requiredKeys: ["name", "points", "mark"] },
);
const rule = fc.record({ axis: fc.constantFrom("x", "y"), at: number, label: text } as const);
const anyChart: fc.Arbitrary<Chart> = fc.record(
  { title: text, note: text, x: axis, y: axis, series: fc.array(series, { maxLength: 4 }), rules: fc.array(rule, { maxLength: 3 }) },
  { requiredKeys: ["title", "x", "y", "series"] },
);

test("every chart is well-formed, without a number that is none, with its marks inside, and the same a second time", () => {
  fc.assert(
    fc.property(anyChart, (chart) => {
      const svg = drawChart(chart);
      expect(drawChart(chart)).toBe(svg);
      expect(openElements(svg)).toEqual([]);
      const attributes = [...svg.matchAll(/ [\w:-]+="([^"]*)"/g)].map(([, value]) => value);
      expect(attributes.filter((value) => /NaN|Infinity|undefined/.test(value ?? ""))).toEqual([]);
      for (const [x, y] of marks(svg)) {
        expect(x).toBeGreaterThanOrEqual(16);
        expect(x).toBeLessThanOrEqual(720 - 16);
        expect(y).toBeGreaterThanOrEqual(16);
      }
    }),
  );
});

test("a mark lies where the ticks of its values do, on linear and logarithmic axes", () => {
  const points = [1, 2, 3, 4].map((x) => ({ x, y: 10 ** x }));
  const svg = drawChart(chartOf([{ name: "powers", points, mark: "dots" }]));
  const [x, y] = [tickPlaces(svg, "x"), tickPlaces(svg, "y")];
  const places = marks(svg);
  expect(places).toHaveLength(4);
  for (const [i, point] of points.entries()) {
    expect(places[i]?.[0]).toBeCloseTo(x.get(String(point.x)) ?? NaN, 1);
    expect(places[i]?.[1]).toBeCloseTo(y.get(String(point.y)) ?? NaN, 1);
  }
});

test("a logarithmic axis of powers of two has its ticks there, in the caller's words", () => {
  const x: Axis = { label: "positions", scale: "log", format: (value) => `${value / 1024}k` };
  const points = Array.from({ length: 8 }, (_, i) => ({ x: 1024 * 2 ** i, y: i + 1 }));
  const ticks = tickPlaces(drawChart(chartOf([{ name: "", points, mark: "line" }], { x })), "x");
  expect([...ticks.keys()].slice(0, 8)).toEqual(["1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k"]);
});

test("points without a place are left out, and the description counts them", () => {
  const points = [
    { x: 1, y: 1 },
    { x: 2, y: 0 },
    { x: NaN, y: 5 },
    { x: 3, y: -1 },
    { x: 4, y: 10 },
  ];
  const svg = drawChart(chartOf([{ name: "some", points, mark: "dots" }]));
  expect(marks(svg)).toHaveLength(2);
  expect(svg).toContain("some (2). 3 points have no place");
});

test("axes reach from and to at least, and hold what lies beyond", () => {
  const y: Axis = { label: "y", scale: "linear", from: 0, to: 10 };
  const ticks = (value: number): readonly string[] => [
    ...tickPlaces(drawChart(chartOf([{ name: "", points: [{ x: 1, y: value }], mark: "dots" }], { y })), "y").keys(),
  ];
  expect(ticks(5)).toEqual(["0", "2", "4", "6", "8", "10"]);
  expect(ticks(40)).toEqual(["0", "5", "10", "15", "20", "25", "30", "35", "40"]);
});

test("names, titles, rules, hollow marks and dashes are drawn, and the legend breaks where the width ends", () => {
  const points = [
    { x: 1, y: 2, title: "first & <best>" },
    { x: 2, y: 3, hollow: true },
  ];
  const many = Array.from({ length: 9 }, (_, i): Series => ({ name: `series number ${i}`, points, mark: "line-dots", dashed: i === 0 }));
  const svg = drawChart(chartOf(many, { rules: [{ axis: "x", at: 3, label: "a budget" }], note: "a note" }));
  for (const { name } of many) expect(svg).toContain(`>${name}</text>`);
  expect(svg).toContain("<title>first &amp; &lt;best&gt;</title>");
  expect(svg).toContain(">a budget</text>");
  expect(svg).toContain(">a note</text>");
  expect(svg.match(/stroke-dasharray="6 4"/g)).toHaveLength(2);
  expect(svg.match(/^<g transform="translate\([\d. ]+\)"><path d="[^"]*" fill="#ffffff"/gm)).toHaveLength(9);
  expect(svg.match(/^<g transform="translate\(16 \d+\)"><g /gm)).toHaveLength(3);
});

test("nothing in a chart has a name that another on the same page could have", () => {
  const svg = drawChart(chartOf([{ name: "a", points: [{ x: 1, y: 1 }], mark: "steps" }]));
  expect(svg).not.toMatch(/ (id|class)=|<style/);
});
