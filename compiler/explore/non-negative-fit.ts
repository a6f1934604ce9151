/** Linear least squares whose weights are not below 0 and stay near a prior as far as the observations allow. */
import type { Observation } from "../bench/fit.ts";
import { required } from "../errors.ts";

const passes = 500;

/**
 * The weights w >= 0 that make the sum of (features . w / value - 1)^2, plus `strength` times the sum of (w / prior - 1)^2, least: relative errors, as
 * fitWeights has them, and costs are never negative. Found by coordinate descent: each weight in turn takes its best value with the others as they are,
 * which converges because the sum is strictly convex. `prior`: one number above 0 for each feature.
 */
export function fitNonNegative(observations: readonly Observation[], prior: readonly number[], strength: number): readonly number[] {
  // In units of the prior, so that every weight is about 1.
  const rows = observations.map(({ features, value }) => prior.map((unit, i) => (required(features[i], "feature") * unit) / value));
  const products = prior.map((_, i) => prior.map((_other, j) => sum(rows.map((row) => at(row, i) * at(row, j)))));
  const targets = prior.map((_, i) => sum(rows.map((row) => at(row, i))));
  const weights = prior.map(() => 1);
  for (let pass = 0; pass < passes; pass++) {
    for (let i = 0; i < weights.length; i++) {
      const own = at(products[i] ?? [], i);
      const others = sum(weights.map((weight, j) => (j === i ? 0 : weight * at(products[i] ?? [], j))));
      weights[i] = Math.max(0, (at(targets, i) - others + strength) / (own + strength));
    }
  }
  return weights.map((weight, i) => weight * at(prior, i));
}

function at(numbers: readonly number[], index: number): number {
  return required(numbers[index], "number");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}
