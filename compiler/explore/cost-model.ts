/** The time that a candidate will take, from its features, by weights fitted to what was measured so far. */
import { median } from "../bench/timing.ts";
import { required } from "../errors.ts";
import type { Feature } from "./features.ts";
import { fitNonNegative } from "./non-negative-fit.ts";

/** What was measured of one candidate, and what should explain it. */
export interface Sample {
  readonly features: readonly Feature[];
  readonly measuredMs: number;
}

export interface CostModel {
  /** Milliseconds for one of each feature, by its name; none where nothing was measured. */
  readonly weights: ReadonlyMap<string, number>;
  /** In milliseconds; by the nominal weights where nothing was measured. */
  readonly predict: (features: readonly Feature[]) => number;
}

/**
 * How firmly weights are held near the nominal ones: a weight that is off by all of itself counts as much as one candidate whose time is off by the
 * square root of this. A few candidates cannot tell two dozen features apart; many can.
 */
const priorStrength = 0.01;

/** Fits the weights of samples that have the same features, held near the nominal ones as they are scaled to this machine's speed. */
export function fitCosts(samples: readonly Sample[]): CostModel {
  const [first] = samples;
  const weights = first ? fitted(first.features, samples) : new Map<string, number>();
  return { weights, predict: (features) => weighted(features, weights) };
}

function fitted(features: readonly Feature[], samples: readonly Sample[]): ReadonlyMap<string, number> {
  const scale = median(samples.map((sample) => sample.measuredMs / weighted(sample.features, new Map())));
  const observations = samples.map((sample) => ({ features: sample.features.map(({ quantity }) => quantity), value: sample.measuredMs }));
  const prior = features.map(({ nominalMs }) => nominalMs * scale);
  const weights = fitNonNegative(observations, prior, priorStrength);
  return new Map(features.map(({ name }, i) => [name, required(weights[i], "weight")]));
}

function weighted(features: readonly Feature[], weights: ReadonlyMap<string, number>): number {
  return features.reduce((sum, { name, quantity, nominalMs }) => sum + quantity * (weights.get(name) ?? nominalMs), 0);
}
