/**
 * The time of a decoded token where nobody measured it: what it must read over the rates at which the measured ones read, weights and cache apart.
 */
import { fitWeights, type Observation } from "../../../compiler/bench/fit.ts";
import { median } from "../../../compiler/bench/timing.ts";
import type { MeasuredModel, ModelFigures, ShapeFigures } from "./figures.ts";
import { kinds } from "./study.ts";

export type Target = MeasuredModel["target"];

export interface TimeModel {
  /** Bytes a second at which weights are read, by all threads together. */
  readonly weightRate: number;
  /** The same of keys and values. */
  readonly cacheRate: number;
  /** Seconds that a token takes at `depth`. */
  readonly seconds: (model: ModelFigures, depth: number) => number;
  /** Median and largest error, as a part of what was measured, of shapes that the rates were not taken from: each was left out in turn. */
  readonly medianError: number;
  readonly largestError: number;
  readonly pointCount: number;
}

/** The model of what was measured of a target; null where that is fewer than two shapes. */
export function timeModel(shapes: readonly ShapeFigures[], target: Target): TimeModel | null {
  const measured = shapes.map((shape) => observationsOf(shape, target)).filter((observations) => observations.length > 1);
  if (measured.length < 2) return null;
  const [weightCost = 0, cacheCost = 0] = fitWeights(measured.flat());
  const errors = measured.flatMap((own) => {
    const weights = fitWeights(measured.filter((other) => other !== own).flat());
    return own.map(({ features, value }) =>
      Math.abs(features.reduce((sum, feature, i) => sum + feature * (weights[i] ?? 0), 0) / value - 1),
    );
  });
  return {
    weightRate: 1 / weightCost,
    cacheRate: 1 / cacheCost,
    seconds: (model, depth) => featuresOf(model, depth).reduce((sum, feature, i) => sum + feature * ([weightCost, cacheCost][i] ?? 0), 0),
    medianError: median(errors),
    largestError: Math.max(...errors),
    pointCount: errors.length,
  };
}

/** What was measured of a target, or null. */
export function measuredOf({ measured }: ModelFigures, target: Target): MeasuredModel | null {
  return measured.find((each) => each.target === target) ?? null;
}

function observationsOf({ models }: ShapeFigures, target: Target): readonly Observation[] {
  return kinds.flatMap((kind) => {
    const points = measuredOf(models[kind], target)?.points ?? [];
    return points.map(({ depth, seconds }) => ({ features: featuresOf(models[kind], depth), value: seconds }));
  });
}

/** Bytes of weights, and of keys and values, that a token reads at `depth`. */
function featuresOf({ cost }: ModelFigures, depth: number): readonly number[] {
  return [cost.weightBytes + cost.ringBytes, cost.cacheBytesPerPosition * depth];
}
