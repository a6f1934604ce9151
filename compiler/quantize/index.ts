/**
 * Better weights of the same size: from text, what a model's matrices are multiplied by; from that, groups with the least loss, and under a
 * budget a format for each matrix. Everything is computed in one order, in binary64 sums and binary32 results: the same bits everywhere.
 */
import type { Constant, Graph } from "../graph/types.ts";
import type { WeightStore } from "../import/weight-store.ts";
import type { GroupFormat, GroupFormatName } from "../numeric/weight-groups.ts";
import { checkBudget, chooseWithin } from "./budget.ts";
import { calibrate, type OnProgress } from "./calibrate.ts";
import { calibratedStore } from "./calibrated-store.ts";
import { readDenseModel, weightCount, type DenseModel } from "./dense-model.ts";
import { sampleWindows } from "./sample.ts";
import { measureCosts } from "./sensitivity.ts";

export { weightCount } from "./dense-model.ts";
export { budgetFormats } from "./budget.ts";
export type { OnProgress } from "./calibrate.ts";
export { calibratedStore } from "./calibrated-store.ts";

export interface ImproveOptions {
  /** The text, in tokens; null: the model writes one itself. */
  readonly tokens: readonly number[] | null;
  /** What a text begins with: put in front of every window, and the first token of a text that the model writes (0 where there is none). */
  readonly bos: number | null;
  /** Mean bits a weight; null: formats are not chosen. */
  readonly budget: number | null;
  /** What a budget chooses among, the smallest first. */
  readonly formats: readonly GroupFormat[];
  /** The constants whose format a budget chooses: the graph's matrices. */
  readonly matrices: readonly Constant[];
  readonly onProgress?: OnProgress | undefined;
}

export interface Improved {
  /** The store to pack from; closing it closes the one that was given. */
  readonly store: WeightStore;
  readonly formats: FormatChoice | null;
}

export interface FormatChoice {
  /** By checkpoint tensor. */
  readonly byTensor: ReadonlyMap<string, GroupFormatName>;
  /** Mean bits a weight. */
  readonly bits: number;
  /** Expected KL divergence to the model in f32, in nats. */
  readonly loss: number;
}

/** Positions of a window. */
const windowLength = 512;
/** Positions that a matrix is measured on at a time. */
const probeLength = 256;

/**
 * Calibrates a model as it was imported, before any pass, and chooses formats where there is a budget. It holds the whole model in f32
 * meanwhile. Throws what reading weights does, and usage/flag for a budget that cannot be met.
 */
export async function improve(graph: Graph, store: WeightStore, options: ImproveOptions): Promise<Improved> {
  const { tokens, bos, budget, matrices, formats, onProgress } = options;
  if (budget !== null) checkBudget(budget, formats);
  const model = await readDenseModel(graph, store);
  const counts = tokenCounts(model);
  const windowCount = Math.floor(counts.calibration / windowLength);
  const windows = tokens
    ? spreadWindows(tokens, bos, windowCount, windowLength)
    : sampleWindows(model, bos ?? 0, windowCount, windowLength, onProgress);
  const calibration = calibrate(model, windows, onProgress);
  const improved = calibratedStore(store, calibration);
  if (budget === null) return { store: improved, formats: null };
  const probes = probesOf(windows, counts.probe);
  const costs = await measureCosts({ model, store, calibration, windows: probes, matrices, formats, onProgress });
  const { chosen, bytes, loss } = chooseWithin(costs, budget);
  const byTensor = new Map(matrices.flatMap(({ sources }, i) => sources.flatMap(({ tensor }) => formatOf(tensor, chosen[i]))));
  return {
    store: improved,
    formats: { byTensor, bits: (8 * bytes) / matrices.reduce((sum, matrix) => sum + weightCount(matrix), 0), loss },
  };
}

function formatOf(tensor: string, cost: { readonly format: GroupFormatName } | undefined): readonly (readonly [string, GroupFormatName])[] {
  return cost ? [[tensor, cost.format]] : [];
}

/** Work that the default numbers of tokens may take, in weights times tokens. */
const calibrationWork = 3e11;
const probeWork = 1.2e11;

/**
 * As many tokens as a minute or two allow, within limits: 4096 and 512 up to about 50 M weights, fewer for larger models. A matrix is
 * measured once with the layers from its own on, half of them on average.
 */
function tokenCounts({ graph }: DenseModel): { readonly calibration: number; readonly probe: number } {
  const weights = graph.constants.reduce((sum, constant) => sum + weightCount(constant), 0);
  const within = (least: number, count: number, most: number): number => Math.max(least, Math.min(most, Math.floor(count)));
  return {
    calibration: within(1024, calibrationWork / weights, 4096),
    probe: within(64, (2 * probeWork) / (weights * graph.constants.length), 512),
  };
}

/** At most `count` windows of `length` tokens, evenly spread over the text, `bos` in front of each. */
export function spreadWindows(
  tokens: readonly number[],
  bos: number | null,
  count: number,
  length: number,
): readonly (readonly number[])[] {
  const front = bos === null ? [] : [bos];
  const step = length - front.length;
  const whole = Math.ceil(tokens.length / step);
  const taken = Math.min(whole, count);
  return Array.from({ length: taken }, (_, i) => {
    const start = Math.floor((i * whole) / taken) * step;
    return [...front, ...tokens.slice(start, start + step)];
  });
}

/** The beginnings of a few windows, about `count` tokens. */
function probesOf(windows: readonly (readonly number[])[], count: number): readonly (readonly number[])[] {
  const length = Math.min(probeLength, count);
  const taken = Math.min(windows.length, Math.max(1, Math.floor(count / length)));
  return Array.from({ length: taken }, (_, i) => (windows[Math.floor((i * windows.length) / taken)] ?? []).slice(0, length));
}
