/** Linear least squares: which weights of a few features explain what was measured. */
import { internal, required } from "../errors.ts";

/** A measured number, and the features that may explain it. */
export interface Observation {
  readonly features: readonly number[];
  /** Above 0. */
  readonly value: number;
}

/**
 * The weights w that make the sum of (features . w / value - 1)^2 least: relative errors, so that small values count as much as large ones. Throws
 * InternalError where the features depend on each other, or there are fewer observations than features.
 */
export function fitWeights(observations: readonly Observation[]): readonly number[] {
  const rows = observations.map(({ features, value }) => features.map((feature) => feature / value));
  const count = rows[0]?.length ?? 0;
  // The normal equations A^T A w = A^T 1, each row of them with its right side behind it.
  const equations = Array.from({ length: count }, (_, i) => [
    ...Array.from({ length: count }, (_column, j) => sum(rows.map((row) => at(row, i) * at(row, j)))),
    sum(rows.map((row) => at(row, i))),
  ]);
  return solve(equations);
}

/** Gauss-Jordan elimination with the largest pivot, over equations whose last number is the right side. */
function solve(equations: readonly (readonly number[])[]): readonly number[] {
  const count = equations.length;
  const scale = equations.map((row, i) => at(row, i));
  const solved = equations.reduce<readonly (readonly number[])[]>((rows, _, column) => {
    const below = rows.map((row, i) => ({ i, size: i < column ? -1 : Math.abs(at(row, column)) }));
    const { i: chosen, size } = below.reduce((best, each) => (each.size > best.size ? each : best));
    if (!(size > 1e-12 * at(scale, column))) return internal("the features of a fit depend on each other");
    const swapped = rows.map((row, i) =>
      i === column ? required(rows[chosen], "row") : i === chosen ? required(rows[column], "row") : row,
    );
    const pivot = required(swapped[column], "row");
    const unit = pivot.map((x) => x / at(pivot, column));
    return swapped.map((row, i) => (i === column ? unit : row.map((x, j) => x - at(row, column) * at(unit, j))));
  }, equations);
  return solved.map((row) => at(row, count));
}

function at(numbers: readonly number[], index: number): number {
  return required(numbers[index], "number");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}
