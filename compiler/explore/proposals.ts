/** Which candidates to build next, in the order in which to try them. */
import { required } from "../errors.ts";
import { largestShare, objectivesOf, violationOf, type Spent } from "./budgets.ts";
import { evolve, type Individual } from "./evolution.ts";
import { express, type Genotype } from "./genes.ts";
import type { Judge } from "./judge.ts";
import { estimateMemory } from "./memory.ts";
import type { Frame, Models } from "./models.ts";
import { frontOf, type Judged } from "./pareto.ts";
import type { Random } from "./random.ts";
import { sizesOf } from "./sizes.ts";
import { drawGenotype, type Space } from "./space.ts";
import { featureDistance, farthest, objectiveDistance } from "./spread.ts";
import type { Budgets, Candidate } from "./types.ts";

export interface ScreenInput {
  readonly space: Space;
  readonly frame: Frame;
  readonly budgets: Budgets;
  readonly judge: Judge;
  readonly models: Models;
  readonly random: Random;
}

/** What was measured or tried before, and is not to be proposed again. */
export interface Known {
  readonly measured: readonly { readonly genotype: Genotype; readonly candidate: Candidate }[];
  readonly refused: ReadonlySet<string>;
}

/** A point of the space, and what comes of it. */
export type Idea = Pick<Individual, "genotype" | "candidate">;

export interface Proposed {
  readonly ideas: readonly Idea[];
  /** Candidates that the models looked at. */
  readonly screened: number;
}

/** Ideas that are drawn to choose a sample from, and draws after which there are no more of them. */
const sampleIdeas = 200;
const sampleDraws = 4000;
/** What those may use of the budget of which they use most: times near a budget are worth knowing from both sides. */
const sampledShares = { least: 0.3, most: 1.3 } as const;
/** Ideas told for each that is asked for; plans refuse some. */
const spareIdeas = 3;

/** What a candidate will take at a site, by the models. */
function spentAt(site: number, candidate: Candidate, { frame, models }: ScreenInput): Spent {
  return {
    ...required(models.predict(candidate)[site], "prediction"),
    memoryBytes: estimateMemory(candidate, frame.base, frame.work),
    parameters: sizesOf(candidate, frame.base).parameters,
  };
}

/** Judges a candidate at a site by the models. */
function screenAt(site: number, input: ScreenInput): (candidate: Candidate) => Judged {
  const { budgets, judge } = input;
  return (candidate) => {
    const spent = spentAt(site, candidate, input);
    return { objectives: objectivesOf(spent, judge.estimate(candidate), budgets), violation: violationOf(spent, budgets) };
  };
}

/**
 * Drawn ideas that use some of the budgets and not much more than all, each as far as can be from those before it and from what was measured: for the
 * models' first view of the space. Where few are so, any that keep to the budgets; where few do, those that use least.
 */
export function proposeSample(input: ScreenInput, known: Known, count: number): Proposed {
  const drawn = new Map<string, Idea & { readonly share: number }>();
  let near = 0;
  let draws = 0;
  for (; draws < sampleDraws && near < sampleIdeas; draws++) {
    const genotype = drawGenotype(input.space, input.random);
    if (genotype === null) break;
    const candidate = express(genotype);
    if (drawn.has(candidate.id) || isKnown(candidate, known)) continue;
    const share = largestShare(spentAt(0, candidate, input), input.budgets);
    drawn.set(candidate.id, { genotype, candidate, share });
    if (share >= sampledShares.least && share <= sampledShares.most) near += 1;
  }
  const light = [...drawn.values()].toSorted((a, b) => a.share - b.share);
  const keeping = [...drawn.values()].filter(({ share }) => share <= sampledShares.most);
  const choices = [keeping.filter(({ share }) => share >= sampledShares.least), keeping, light];
  const ideas = (choices.find(({ length }) => length >= count) ?? light).slice(0, sampleIdeas);
  const distance = featureDistance(input.frame);
  const measured = known.measured.map(({ candidate }) => candidate);
  return { ideas: farthest(ideas, ({ candidate }) => candidate, measured, distance, spareIdeas * count), screened: draws };
}

/** Ideas of each site's predicted front, the sites taking turns. */
export function propose(input: ScreenInput, known: Known, count: number): Proposed {
  const evolved = Array.from({ length: input.frame.siteCount }, (_, site) => evolveAt(site, input, known));
  const columns = evolved.map(({ population }) => inOrder(population, input, known, count));
  const ideas = Array.from({ length: spareIdeas * count }, (_, row) => columns.flatMap((column) => column[row] ?? [])).flat();
  return {
    ideas: [...new Map(ideas.map((idea) => [idea.candidate.id, idea])).values()],
    screened: evolved.reduce((sum, { screened }) => sum + screened, 0),
  };
}

/** The population that evolves under a site's models from what was measured, and how many candidates they looked at. */
export function evolveAt(
  site: number,
  input: ScreenInput,
  { measured }: Known,
): { readonly population: readonly Individual[]; readonly screened: number } {
  const { space, random } = input;
  const screen = screenAt(site, input);
  let screened = 0;
  const judge = (candidate: Candidate): Judged => {
    screened += 1;
    return screen(candidate);
  };
  const first = measured.map(({ genotype, candidate }) => ({ genotype, candidate, ...screen(candidate) }));
  const population = evolve({ space, random, first: frontOf(first).map(({ genotype }) => genotype), judge });
  return { population, screened };
}

/**
 * Of a population's new points, in turn: the best of those that keep the budgets, one of the front that lies far from what is known, and one of which
 * the models know least. Where none keeps the budgets, those that break them least.
 */
function inOrder(population: readonly Individual[], { frame }: ScreenInput, known: Known, count: number): readonly Individual[] {
  const fresh = population.filter(({ candidate }) => !isKnown(candidate, known));
  const keeping = fresh.filter(({ violation }) => violation === 0);
  if (keeping.length === 0) return fresh.toSorted((a, b) => a.violation - b.violation).slice(0, count);
  const front = frontOf(keeping);
  const old = population.filter(({ candidate }) => isKnown(candidate, known));
  const measured = known.measured.map(({ candidate }) => candidate);
  const rows = [
    front.toSorted((a, b) => qualityTerm(a) - qualityTerm(b)),
    farthest(front, (point) => point, old, objectiveDistance(population), front.length),
    farthest(keeping, ({ candidate }) => candidate, measured, featureDistance(frame), keeping.length),
  ];
  const longest = Math.max(...rows.map(({ length }) => length));
  const ideas = Array.from({ length: longest }, (_, place) => rows.flatMap((row) => row[place] ?? [])).flat();
  return [...new Map(ideas.map((idea) => [idea.candidate.id, idea])).values()];
}

/** Quality, turned so that less is better. */
function qualityTerm({ objectives }: Judged): number {
  return required(objectives[0], "quality");
}

/** Whether it is not to be proposed again. */
export function isKnown({ id }: Candidate, { measured, refused }: Known): boolean {
  return refused.has(id) || measured.some(({ candidate }) => candidate.id === id);
}
