/** Whether figures keep the budgets, with the margin that measured times need. */
import type { BudgetName, Budgets, Measured } from "./types.ts";

/** What budgets speak of. */
export interface Spent extends Pick<Measured, "decodeMs" | "prefillMs" | "memoryBytes"> {
  readonly parameters: number;
}

/** Each budget's name, and the share of it that is used; 1 is all. Only those that are set. */
function shares(spent: Spent, budgets: Budgets): readonly (readonly [BudgetName, number])[] {
  const timed = 1 + budgets.margin;
  const of = (name: BudgetName, figure: number, budget: number | null): readonly (readonly [BudgetName, number])[] =>
    budget === null ? [] : [[name, figure / budget]];
  return [
    ...of("max-decode-ms", spent.decodeMs * timed, budgets.decodeMs),
    ...of("max-prefill-ms", spent.prefillMs * timed, budgets.prefillMs),
    ...of("max-memory", spent.memoryBytes, budgets.memoryBytes),
    ...of("max-parameters", spent.parameters, budgets.parameters),
  ];
}

/** The budgets that are not kept. */
export function exceededBudgets(spent: Spent, budgets: Budgets): readonly BudgetName[] {
  return shares(spent, budgets).flatMap(([name, share]) => (share > 1 ? [name] : []));
}

/** By what share budgets are exceeded, summed; 0 where all are kept. */
export function violationOf(spent: Spent, budgets: Budgets): number {
  return shares(spent, budgets).reduce((sum, [, share]) => sum + Math.max(0, share - 1), 0);
}

/** The share of the budget of which most is used; 1 is all, 0 where there is none. */
export function largestShare(spent: Spent, budgets: Budgets): number {
  return Math.max(0, ...shares(spent, budgets).map(([, share]) => share));
}

/** What points of a front are compared by, all to be made small: logarithms, so that equal ratios count alike. */
export function objectivesOf(spent: Spent, quality: number, budgets: Budgets): readonly number[] {
  const times = budgets.prefillMs === null ? [spent.decodeMs] : [spent.decodeMs, spent.prefillMs];
  return [-quality, ...[...times, spent.memoryBytes].map(Math.log)];
}
