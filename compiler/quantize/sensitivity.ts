/**
 * What each matrix costs in each format: the KL divergence that a model suffers on a few tokens where that matrix alone is in the coarsest
 * format, measured, and scaled to the others by the loss that rounding leaves in them (it is quadratic in the error, and so is KL).
 */
import { required } from "../errors.ts";
import { lastAxis } from "../graph/tensor.ts";
import type { Constant, Row } from "../graph/types.ts";
import { joinRows } from "../import/read-constant.ts";
import type { WeightStore } from "../import/weight-store.ts";
import { exp } from "../numeric/exp.ts";
import { blockSize, groupSize, roundUp } from "../numeric/quantize.ts";
import type { GroupFormat } from "../numeric/weight-groups.ts";
import { groupBytes, type FormatCost, type MatrixCosts } from "./budget.ts";
import type { Calibration, OnProgress } from "./calibrate.ts";
import { FactorCache, rangesOf, type RowRange } from "./calibrated-store.ts";
import { denseConstant, denseData, evaluate, evaluateChanged, type DenseModel, type Values } from "./dense-model.ts";
import type { Factor } from "./factor.ts";
import { roundedValues, roundRows } from "./round-rows.ts";

/** Rows of a matrix that are rounded in every format. */
const sampledRows = 64;
/** Panels hold this many rows; the last one is padded. */
const paddedRows = 16;

export interface Sensitivities {
  readonly model: DenseModel;
  readonly store: WeightStore;
  readonly calibration: Calibration;
  readonly windows: readonly (readonly number[])[];
  /** Formats to choose among, the coarsest first. */
  readonly formats: readonly GroupFormat[];
  /** The matrices that may have any of them. */
  readonly matrices: readonly Constant[];
  readonly onProgress?: OnProgress | undefined;
}

/** Measures all matrices, one after the other. Throws what the store does. */
export async function measureCosts({
  model,
  store,
  calibration,
  windows,
  matrices,
  formats,
  onProgress,
}: Sensitivities): Promise<readonly MatrixCosts[]> {
  const probes = windows.map((window) => probeOf(model, window));
  const factors = new FactorCache(calibration);
  const costs: MatrixCosts[] = [];
  for (const matrix of matrices) {
    const { values, losses } = await roundEverywhere(matrix, formats, store, calibration, factors);
    const changed = denseConstant(matrix, values);
    const divergence = probes.reduce((sum, probe) => sum + probe.divergence(matrix, changed.data), 0) / probes.length;
    const coarsest = required(losses[0], "coarsest format");
    // Losses of 0: the weights are numbers of the format.
    const share = (loss: number): number => (coarsest === 0 ? 0 : loss / coarsest);
    const kept = keptFormat(matrix, store);
    costs.push({
      name: matrix.name,
      weights: values.length,
      costs: formats.map((format, i): FormatCost => {
        const loss = format.name === kept ? 0 : divergence * share(required(losses[i], format.name));
        return { format: format.name, bytes: bytesIn(matrix, calibration, groupBytes(format)), loss };
      }),
    });
    onProgress?.({ stage: "measuring", done: costs.length, total: matrices.length });
  }
  return costs;
}

/** Whether the store holds all of a matrix in one encoding, and which. */
function keptFormat({ sources }: Constant, { tensors }: WeightStore): string | null {
  const kept = new Set(sources.map(({ tensor }) => tensors.get(tensor)?.keep));
  const [only] = kept;
  return kept.size === 1 ? (only ?? null) : null;
}

function bytesIn({ sources, type }: Constant, calibration: Calibration, group: number): number {
  const width = Number(type.shape.at(-1));
  const rows = sources
    .flatMap(({ tensor, start, count }) => rangesOf(calibration, tensor, start, count))
    .reduce((sum, { count }) => sum + roundUp(count, paddedRows), 0);
  return (rows * roundUp(width, blockSize) * group) / groupSize;
}

interface RoundedMatrix {
  /** The matrix in the coarsest format. */
  readonly values: Float32Array;
  /** The loss of sampled rows in each of the formats. */
  readonly losses: readonly number[];
}

async function roundEverywhere(
  matrix: Constant,
  formats: readonly GroupFormat[],
  store: WeightStore,
  calibration: Calibration,
  factors: FactorCache,
): Promise<RoundedMatrix> {
  const ranges = matrix.sources.flatMap(({ tensor, start, count }) =>
    rangesOf(calibration, tensor, start, count).map((range) => ({ tensor, range })),
  );
  const coarsest = required(formats[0], "a format");
  const perRange = Math.max(1, Math.floor(sampledRows / ranges.length));
  const parts: Float32Array[] = [];
  const losses = formats.map(() => 0);
  for (const { tensor, range } of ranges) {
    const rows = await store.readRows(tensor, range.start, range.count);
    const width = rows.length / range.count;
    const factor = factors.get(tensor, range, width);
    parts.push(roundedValues(coarsest, roundRows(coarsest, rows, range.count, factor).groups, width));
    const sample = sampleOf(rows, range, width, perRange);
    formats.forEach((format, i) => (losses[i] = (losses[i] ?? 0) + sampleLoss(format, sample, factor)));
  }
  return { values: joinRows(parts), losses };
}

function sampleLoss(format: GroupFormat, sample: Float32Array, factor: Factor): number {
  return roundRows(format, sample, sample.length / factor.width, factor).loss;
}

/** At most `most` rows, evenly spread. */
function sampleOf(rows: Float32Array, { count }: RowRange, width: number, most: number): Float32Array {
  const taken = Math.min(most, count);
  return joinRows(
    Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken)).map((row) => rows.subarray(row * width, (row + 1) * width)),
  );
}

/** A window as the model itself reads it. */
interface Probe {
  /** Mean KL divergence of the model whose constant has these values. */
  readonly divergence: (constant: Constant, values: Float32Array) => number;
}

function probeOf(model: DenseModel, window: readonly number[]): Probe {
  const rows: readonly Row[] = window.map((token, position) => ({ token, slot: 0, position, wantsLogits: true }));
  const known: Values = evaluate(model, rows);
  const output = required(known.get(model.graph.output), "logits");
  const [logits, width] = [denseData(output), lastAxis(output.shape)];
  const chances = probabilities(logits, width);
  return {
    divergence(constant, values) {
      const changed = evaluateChanged(model, rows, known, constant.name, denseConstant(constant, values));
      return smallDivergence(chances, logits, denseData(changed), width);
    },
  };
}

/** The softmax of each row of logits, [rows, width]. */
function probabilities(logits: Float32Array, width: number): Float32Array {
  const result = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += width) {
    let most = -Infinity;
    for (let i = start; i < start + width; i++) most = Math.max(most, logits[i] ?? 0);
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += result[i] = exp(Math.fround((logits[i] ?? 0) - most));
    for (let i = start; i < start + width; i++) result[i] = (result[i] ?? 0) / sum;
  }
  return result;
}

/** Mean KL divergence to second order: half the variance of the logits' change under the probabilities. */
function smallDivergence(chances: Float32Array, logits: Float32Array, changed: Float32Array, width: number): number {
  let total = 0;
  for (let start = 0; start < logits.length; start += width) {
    let mean = 0;
    let square = 0;
    for (let i = start; i < start + width; i++) {
      const difference = (changed[i] ?? 0) - (logits[i] ?? 0);
      const weighted = (chances[i] ?? 0) * difference;
      mean += weighted;
      square += weighted * difference;
    }
    total += (square - mean * mean) / 2;
  }
  return (total * width) / logits.length;
}
