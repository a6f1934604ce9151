/** The front of a site: measured candidates that keep every budget there and that no other of them beats. */
import { exceededBudgets, objectivesOf } from "./budgets.ts";
import { figuresAt, type Entry } from "./entry.ts";
import type { Judge } from "./judge.ts";
import type { Frame } from "./models.ts";
import { frontOf, type Judged } from "./pareto.ts";
import { sizesOf } from "./sizes.ts";
import { farthest, objectiveDistance } from "./spread.ts";
import type { BudgetName, Budgets } from "./types.ts";

/** What entries are held against. */
export interface Standard {
  readonly budgets: Budgets;
  readonly judge: Judge;
  readonly frame: Frame;
}

/** Budgets that an entry exceeds at a site; none where it has no figures, since nothing is known. */
export function exceededAt(entry: Entry, site: number, { budgets, frame }: Standard): readonly BudgetName[] {
  const figures = figuresAt(entry, site);
  return figures === null ? [] : exceededBudgets({ ...figures, parameters: parametersOf(entry, frame) }, budgets);
}

/** An entry by its figures at a site. */
interface JudgedEntry extends Judged {
  readonly entry: Entry;
  readonly quality: number;
}

/** Points of a front that are worth telling: of more than so many, those that lie apart. */
const frontSize = 12;

/** The front of a site, best quality first: no more than a reader takes in, and no more than can be measured twice. */
export function siteFront(entries: readonly Entry[], site: number, standard: Standard): readonly Entry[] {
  const front = frontOf(entries.flatMap((entry) => judgedAt(entry, site, standard) ?? [])).toSorted((a, b) => b.quality - a.quality);
  const [best, ...others] = front;
  if (!best) return [];
  const apart = farthest(others, (point) => point, [best], objectiveDistance(front), frontSize - 1);
  return front.filter((point) => point === best || apart.includes(point)).map(({ entry }) => entry);
}

/** null for an entry without figures or quality, or that exceeds a budget. */
function judgedAt(entry: Entry, site: number, standard: Standard): JudgedEntry | null {
  const { budgets, judge, frame } = standard;
  const figures = figuresAt(entry, site);
  const { quality } = judge.qualityOf(entry.candidate);
  if (figures === null || quality === null || exceededAt(entry, site, standard).length > 0) return null;
  const spent = { ...figures, parameters: parametersOf(entry, frame) };
  return { entry, quality, objectives: objectivesOf(spent, quality, budgets), violation: 0 };
}

function parametersOf({ candidate }: Entry, { base }: Frame): number {
  return sizesOf(candidate, base).parameters;
}
