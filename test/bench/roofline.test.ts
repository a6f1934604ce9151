/** The roofline plot, of figures that nobody measured: well-formed, complete, and with its dots where the axes say. */
import { expect, test } from "vitest";
import type { KernelFigure } from "../../compiler/bench/kernels.ts";
import { rooflineSvg, type Roofline } from "../../compiler/bench/roofline.ts";

const roofs = { readBandwidth: 1e10, dotRate: 1e11, floatRate: 1e10 };

/** A kernel that takes a millisecond. */
function figure(kernel: string, macs: number, bytes: number, share: number, rows = 1): KernelFigure {
  const seconds = 1e-3;
  const rates = { gbPerSecond: bytes / seconds / 1e9, gmacPerSecond: macs / seconds / 1e9, roofRatio: 0.5 };
  const record = { kernel, target: "wasm-simd", variant: "relaxed", shape: `rows ${rows}`, seconds, bytes, macs, ...rates };
  return { record, model: "some <model> & more", rows, calls: 1, share };
}

const figures = [
  figure("product", 1e7, 1e6, 0.6),
  figure("equal_product", 1e7, 1e6, 0.3),
  figure("small_product", 1e5, 1e6, 0.04, 64),
  figure("copy", 0, 1e6, 0.06),
];
const plot: Roofline = { variant: "relaxed", host: "engine 1; processor", roofs, figures };
const svg = rooflineSvg([plot, { ...plot, variant: "simd128" }]);

/** Names of the elements that are open at the end, and how many there were; throws where one is closed that is not the last opened. */
function elements(xml: string): { readonly open: readonly string[]; readonly count: number } {
  const open: string[] = [];
  let count = 0;
  for (const [, slash, name = "", attributes = "", empty] of xml.matchAll(/<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<&]*")*)(\/?)>/gi)) {
    if (slash === "/") {
      if (attributes !== "" || open.pop() !== name) throw new Error(`</${name}> closes something else`);
    } else {
      count++;
      if (empty !== "/") open.push(name);
    }
  }
  return { open, count };
}

test("is well-formed XML", () => {
  const { open, count } = elements(svg);
  expect(open).toEqual([]);
  // What is no element that was understood would begin with < too; text has neither < nor a bare &.
  expect(svg.match(/<[^/]/g)?.length).toBe(count);
  expect(svg.match(/&(?!(amp|lt|gt);)/g)).toBeNull();
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});

test("names every kernel, variant and host, and numbers the large shares", () => {
  for (const { record } of figures) expect(svg).toContain(record.kernel);
  for (const title of ["relaxed: engine 1; processor", "simd128: engine 1; processor"]) expect(svg).toContain(title);
  const numbers = [...rooflineSvg([plot]).matchAll(/class="number">(\d+)</g)].map(([, number]) => Number(number));
  expect(numbers).toEqual([1, 2]);
});

test("puts a dot for every kernel that multiplies where the roofs meet its figures", () => {
  const dots = [...rooflineSvg([plot]).matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="3.5"/g)].map(([, x, y]) => [Number(x), Number(y)]);
  expect(dots).toHaveLength(3);
  const [first, equal, small] = dots;
  expect(first).toEqual(equal);
  // 10 multiply-adds per byte at 10 GMAC/s: on the f32 roof; a hundredth of either lies as far left as down on axes of so many decades.
  const roof = /<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" class="roof"\/>\n<text[^>]*>f32 in registers/.exec(svg);
  expect(Number(first?.[1])).toBe(Number(roof?.[2]));
  expect(Number(small?.[0])).toBeLessThan(Number(first?.[0]));
  expect(Number(small?.[1])).toBeGreaterThan(Number(first?.[1]));
});

test("numbers of equal kernels lie beside each other, as high as the dots", () => {
  const discs = [...rooflineSvg([plot]).matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="8"/g)].map(([, x, y]) => [Number(x), Number(y)]);
  expect(discs).toHaveLength(2);
  const [first = [], second = []] = discs;
  expect(first[1]).toBe(second[1]);
  expect(Math.abs((first[0] ?? 0) - (second[0] ?? 0))).toBeGreaterThanOrEqual(16);
});
