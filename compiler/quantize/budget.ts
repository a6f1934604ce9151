/** A format for each matrix such that all of them fit a number of bytes and cost least: the steps that gain most a byte come first. */
import { LfmcError, required } from "../errors.ts";
import { groupSize } from "../numeric/quantize.ts";
import { groupFormats, type GroupFormat, type GroupFormatName } from "../numeric/weight-groups.ts";

/** What a format costs a matrix. */
export interface FormatCost {
  readonly format: GroupFormatName;
  readonly bytes: number;
  /** Expected KL divergence, in nats. */
  readonly loss: number;
}

/** A matrix and what it would cost in each format. */
export interface MatrixCosts {
  readonly name: string;
  readonly weights: number;
  readonly costs: readonly FormatCost[];
}

export interface Choice {
  /** One cost for each matrix, in their order. */
  readonly chosen: readonly FormatCost[];
  readonly bytes: number;
  readonly loss: number;
}

const flag = "--budget";

/** Bytes of a group: its numbers, its scale, its minimum. */
export function groupBytes({ bits, hasMinimums }: GroupFormat): number {
  return (bits * groupSize) / 8 + (hasMinimums ? 4 : 2);
}

/** The formats that a budget chooses among, the smallest first. */
export const budgetFormats: readonly GroupFormat[] = Object.values(groupFormats).toSorted((a, b) => groupBytes(a) - groupBytes(b));

/** Refuses a budget that no matrix could meet or use up, before anything is measured. Throws usage/flag. */
export function checkBudget(budget: number, formats: readonly GroupFormat[]): void {
  const [smallest = 0, ...larger] = formats.map((format) => (8 * groupBytes(format)) / groupSize);
  if (!(budget >= smallest)) throw tooSmall(budget, smallest);
  const largest = larger.at(-1) ?? smallest;
  if (budget <= largest) return;
  const hint = `give ${largest} or less, or leave it out and take --quant f16`;
  throw new LfmcError("usage/flag", `${budget} bits a weight are more than the largest format takes`, { subject: flag, hint });
}

function tooSmall(budget: number, smallest: number): LfmcError {
  const bits = Math.ceil(smallest * 10) / 10;
  const hint = `give ${bits} or more: the mean number of bits of a weight, scales and padding included`;
  return new LfmcError("usage/flag", `${budget} bits a weight are fewer than the smallest formats take`, { subject: flag, hint });
}

/**
 * Chooses formats whose bytes are at most `budget` bits for each weight. A larger budget never costs more. Throws usage/flag where the
 * smallest formats take more.
 */
export function chooseWithin(matrices: readonly MatrixCosts[], budget: number): Choice {
  const weights = matrices.reduce((sum, matrix) => sum + matrix.weights, 0);
  const hulls = matrices.map(({ costs }) => lowerHull(costs));
  const chosen = hulls.map((hull) => required(hull[0], "format of a matrix"));
  const smallest = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
  let left = (budget * weights) / 8 - smallest;
  if (!(left >= 0)) throw tooSmall(budget, (8 * smallest) / weights);
  // By their gain a byte; a step that does not fit closes its matrix, so a matrix climbs its hull without gaps.
  const closed = new Set<number>();
  for (const { matrix, to, bytes } of stepsOf(hulls)) {
    if (closed.has(matrix)) continue;
    if (bytes > left) closed.add(matrix);
    else {
      left -= bytes;
      chosen[matrix] = to;
    }
  }
  const sum = (figure: (cost: FormatCost) => number): number => chosen.reduce((total, cost) => total + figure(cost), 0);
  return { chosen, bytes: sum(({ bytes }) => bytes), loss: sum(({ loss }) => loss) };
}

/** The costs between which no mixture of two others lies: rising in bytes, falling in loss, each step gaining less a byte than the one before. */
function lowerHull(costs: readonly FormatCost[]): readonly FormatCost[] {
  const hull: FormatCost[] = [];
  for (const cost of costs.toSorted((a, b) => a.bytes - b.bytes || a.loss - b.loss)) {
    const last = hull.at(-1);
    if (last && cost.loss >= last.loss) continue;
    while (hull.length > 1 && gain(hull.at(-2), hull.at(-1)) <= gain(hull.at(-1), cost)) hull.pop();
    hull.push(cost);
  }
  return hull;
}

/** What each byte from `a` to `b` gains; nothing where one is missing. */
function gain(a: FormatCost | undefined, b: FormatCost | undefined): number {
  return a && b ? (a.loss - b.loss) / (b.bytes - a.bytes) : 0;
}

interface Step {
  readonly matrix: number;
  readonly to: FormatCost;
  readonly bytes: number;
  readonly gain: number;
}

/** All steps up the hulls, those that gain most a byte first; of equals, the first matrix's. */
function stepsOf(hulls: readonly (readonly FormatCost[])[]): readonly Step[] {
  const steps = hulls.flatMap((hull, matrix) =>
    hull.slice(1).map((to, i) => ({ matrix, to, bytes: to.bytes - (hull[i]?.bytes ?? 0), gain: gain(hull[i], to) })),
  );
  return steps.toSorted((a, b) => b.gain - a.gain || a.matrix - b.matrix);
}
