/** The study of long context: plain models of the same size, planned times, and the page and plots that are made of figures. */
import { describe, expect, test } from "vitest";
import { artefactIn, engineOf } from "./long-context/artefact.ts";
import { measureDepths, type DepthFigure } from "./long-context/depth-job.ts";
import type { Figures, ModelFigures, ShapeFigures } from "./long-context/figures.ts";
import { settingsOf } from "./long-context/measure.ts";
import { page } from "./long-context/page.ts";
import { planModel } from "./long-context/plans.ts";
import { memoryPlot, timePlot } from "./long-context/plots.ts";
import { timeModel } from "./long-context/prediction.ts";
import { depths, modelOf, plainModel, studyShapes } from "./long-context/study.ts";
import { steadyDepth, timesOf } from "./long-context/times.ts";
import { workFolder } from "../model/support.ts";

const folder = await workFolder();

const tiny = modelOf({
  model_type: "lfm2",
  vocab_size: 512,
  hidden_size: 128,
  num_hidden_layers: 4,
  layer_types: ["conv", "conv", "full_attention", "conv"],
  num_attention_heads: 4,
  num_key_value_heads: 2,
  conv_L_cache: 3,
  intermediate_size: 256,
  block_auto_adjust_ff_dim: false,
  max_position_embeddings: 131072,
});

/** A model whose token takes a second for each 10 GB of weights, and for each 5 GB of keys and values. */
function figuresOf(weightBytes: number, attentionLayers: number, isMeasured: boolean): ModelFigures {
  const cost = { weightBytes, cacheBytesPerPosition: attentionLayers * 2048, ringBytes: 0, layerMacs: 0, headMacs: 0 };
  const secondsAt = (depth: number): number => weightBytes / 10e9 + (depth * cost.cacheBytesPerPosition) / 5e9;
  const points = depths.map((depth): DepthFigure => ({ depth, seconds: secondsAt(depth), spread: 0, aloneCount: 7, peakBytes: 3e9 }));
  const host = { target: "c-x86", variant: "avx2", threads: 2, engine: "a compiler", cpu: "a processor", date: "2026-11-26" } as const;
  const plans = depths.map((depth) => {
    const sessionBytes = depth * cost.cacheBytesPerPosition;
    return { depth, sessionBytes, narrowSessionBytes: sessionBytes / 2, totalBytes: weightBytes + sessionBytes };
  });
  const sizes = { parameters: 2 * weightBytes, layers: 8, attentionLayers, feedForwardSize: 1024, cost, plans };
  return { ...sizes, measured: isMeasured ? [{ ...host, context: 131072, planBytes: 2e9, peakBytes: 3e9, points }] : [] };
}

function shapeOf(name: string, weightBytes: number, isMeasured = true): ShapeFigures {
  const models = { ours: figuresOf(weightBytes, 2, isMeasured), plain: figuresOf(weightBytes, 8, isMeasured) };
  return { names: [name], models };
}

const shapes = [shapeOf("small", 1e8), shapeOf("middle", 2e8), shapeOf("planned", 1e9, false)];
const figures: Figures = {
  shapes,
  check: {
    shape: "small",
    context: 4096,
    planBytes: 1e8,
    peakBytes: 2e8,
    readSeconds: [0.01, 0.02, 0.03],
    madeUpSeconds: [0.02, 0.02, 0.02],
  },
};

describe("the plain model", () => {
  test("has attention in every layer, and within one percent as many parameters as each published shape", async () => {
    const all = await studyShapes();
    expect(all.flatMap(({ names }) => names)).toHaveLength(11);
    for (const { ours, plain } of all) {
      expect(new Set(plain.config.layers)).toEqual(new Set(["attention"]));
      expect(Math.abs(plain.parameters / ours.parameters - 1)).toBeLessThan(0.01);
      expect(plain.config.feedForwardSize % 64).toBe(0);
      expect({ ...plain.config, layers: 0, feedForwardSize: 0 }).toEqual({ ...ours.config, layers: 0, feedForwardSize: 0 });
    }
  });
});

describe("planning", () => {
  test("gives sessions that grow with positions and attention layers, and what a token reads", async () => {
    const [ours, plain] = [await planModel(tiny, [1024]), await planModel(plainModel(tiny), [2048])];
    expect(ours.cost.cacheBytesPerPosition).toBe(2 * 2 * 32 * 2);
    expect(plain.cost.cacheBytesPerPosition).toBe(4 * ours.cost.cacheBytesPerPosition);
    expect(plain.plans[0]?.sessionBytes).toBe(2048 * 1024);
    expect(ours.plans[0]?.sessionBytes).toBeGreaterThan(1024 * 256);
    for (const { sessionBytes, narrowSessionBytes, totalBytes } of ours.plans) {
      expect(narrowSessionBytes).toBeLessThan(sessionBytes);
      expect(totalBytes).toBeGreaterThan(sessionBytes + ours.cost.weightBytes);
    }
  });

  test("finds the rates of measured times, and the times of what was not measured", () => {
    const model = timeModel(shapes, "c-x86");
    expect(model?.weightRate).toBeCloseTo(10e9, -3);
    expect(model?.cacheRate).toBeCloseTo(5e9, -3);
    expect(model?.pointCount).toBe(2 * 2 * depths.length);
    expect(model?.largestError).toBeCloseTo(0, 6);
    expect(timeModel(shapes, "wasm-simd")).toBeNull();
    const planned = shapes[2] ?? shapeOf("none", 1);
    const points = timesOf(shapes, "c-x86")?.of(planned, "plain") ?? [];
    expect(points.map(({ isMeasured }) => isMeasured)).toEqual(depths.map(() => false));
    expect(points.at(-1)?.seconds).toBeCloseTo(0.1 + (131072 * 8 * 2048) / 5e9, 6);
  });

  test("counts as wrong what one shape alone does", () => {
    const slower = shapeOf("slower", 4e8);
    const late = slower.models.ours.measured.map((each) => ({
      ...each,
      points: each.points.map((point) => ({ ...point, seconds: 2 * point.seconds })),
    }));
    const odd = { ...slower, models: { ...slower.models, ours: { ...slower.models.ours, measured: late } } };
    expect(timeModel([...shapes, odd], "c-x86")?.largestError).toBeGreaterThan(0.3);
  });

  test("measures what fits: modules in what 32-bit addresses reach, libraries in the machine's memory", () => {
    const shape = shapeOf("some", 1e8);
    expect(settingsOf(shape, 24e9).map(({ kind, target, context }) => [kind, target, context])).toEqual([
      ["ours", "c-x86", 131072],
      ["plain", "c-x86", 131072],
      ["ours", "wasm-simd", 131072],
      ["plain", "wasm-simd", 131072],
    ]);
    const small = settingsOf(shape, 1e9);
    expect(small.find(({ kind }) => kind === "plain")?.context).toBe(32768);
    expect(settingsOf(shape, 1e6)).toEqual([]);
  });
});

test("steady depth lies where a straight line passes the bound, or at the end", () => {
  const line = depths.map((depth) => ({ depth, seconds: 1 + depth / 16384, isMeasured: true }));
  const bound = (1.25 * (1 + 1024 / 16384) - 1) * 16384;
  expect(steadyDepth(line, 1.25)).toBeCloseTo(bound, 6);
  expect(steadyDepth(line, 100)).toBe(131072);
});

describe("the page", () => {
  const text = page(figures);

  test("tells measured times from planned ones, and gives ratios and errors", () => {
    expect(text).toContain(`| small | ${cell(shapes[0], 1024, "")} |`);
    expect(text).toContain(cell(shapes[2], 131072, "~"));
    expect(text).toContain("weights that a token reads at 10.0 GB/s and the bytes of its keys and values at 5.0 GB/s");
    expect(text).toContain("wrong by 0.0 % in the median and 0.0 % at most (32 points)");
    expect(text).toContain("after 4k tokens that were really read a token took 10.00, 20.00, 30.00 ms");
    expect(text).not.toMatch(/NaN|undefined|Infinity/);
  });

  test("is whole where nothing was measured", () => {
    const planned = page({ shapes: [shapeOf("planned", 1e9, false)], check: null });
    expect(planned).toContain("## Memory");
    expect(planned).not.toContain("## Time");
    expect(planned).not.toMatch(/NaN|undefined|Infinity/);
  });

  test("has plots with a panel for each shape, whose marks are filled where something was measured", () => {
    for (const plot of [memoryPlot(figures), timePlot(figures)]) {
      expect(plot.match(/role="img"/g)).toHaveLength(shapes.length);
      expect(plot).not.toMatch(/NaN|undefined|Infinity/);
    }
    // Those of the legend's samples too.
    const hollow = [...timePlot(figures).matchAll(/<path d="[^"]*" fill="#ffffff"/g)];
    expect(hollow).toHaveLength(2 * depths.length + 2);
  });
});

test("decoding is measured at each depth, after prompts that were read and after others", async () => {
  const { place } = await artefactIn(folder, tiny, await engineOf("wasm-simd"), 256);
  for (const readsPrompt of [true, false]) {
    const heard: number[] = [];
    const points = await measureDepths({ ...place, threads: 1, depths: [128, 256], readsPrompt, sampleSeconds: 0.01 }, ({ depth }) =>
      heard.push(depth),
    );
    expect(heard).toEqual([128, 256]);
    for (const { seconds, peakBytes } of points) {
      expect(seconds).toBeGreaterThan(0);
      expect(peakBytes).toBeGreaterThan(1e6);
    }
  }
});

/** A cell of the table of times, by the arithmetic of `figuresOf`. */
function cell(shape: ShapeFigures | undefined, depth: number, mark: string): string {
  const [ours, plain] = (["ours", "plain"] as const).map((kind) => {
    const cost = shape?.models[kind].cost;
    return cost ? 1000 * (cost.weightBytes / 10e9 + (depth * cost.cacheBytesPerPosition) / 5e9) : NaN;
  });
  const text = (value = NaN): string => mark + (value < 100 ? value.toFixed(1) : value.toFixed(0));
  return `${text(ours)} / ${text(plain)} (${((plain ?? NaN) / (ours ?? NaN)).toFixed(1)}x)`;
}
