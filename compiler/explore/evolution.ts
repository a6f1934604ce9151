/** NSGA-II over genotypes: tournaments by rank and crowding, children by crossing and mutation, the better half of parents and children lives on. */
import { required } from "../errors.ts";
import { express, type Genotype } from "./genes.ts";
import { compareRanked, rankAll, type Judged, type Ranked } from "./pareto.ts";
import type { Random } from "./random.ts";
import { cross, drawGenotype, mutate, type Space } from "./space.ts";
import type { Candidate } from "./types.ts";

/** A genotype, what comes of it, and how it is judged. */
export interface Individual extends Judged {
  readonly genotype: Genotype;
  readonly candidate: Candidate;
}

export interface EvolutionInput {
  readonly space: Space;
  readonly random: Random;
  /** Where the population begins, filled up with drawn ones. */
  readonly first: readonly Genotype[];
  readonly judge: (candidate: Candidate) => Judged;
}

const populationSize = 64;
const generations = 24;
/** Children that have two parents. */
const crossedShare = 0.6;

/** The last population, each candidate once: the better ones in front. */
export function evolve(input: EvolutionInput): readonly Individual[] {
  const { space, random, first } = input;
  const drawn = Array.from({ length: Math.max(0, populationSize - first.length) }, () => drawGenotype(space, random));
  let population = survivors(judged([...first, ...drawn.filter((genotype) => genotype !== null)], input));
  for (let i = 0; i < generations && population.length > 0; i++) {
    const parents = population;
    const children = Array.from({ length: populationSize }, () => childOf(parents, input));
    population = survivors([...parents.map(({ point }) => point), ...judged(children, input)]);
  }
  return population.map(({ point }) => point);
}

function judged(genotypes: readonly Genotype[], { judge }: EvolutionInput): readonly Individual[] {
  return genotypes.map((genotype) => {
    const candidate = express(genotype);
    return { genotype, candidate, ...judge(candidate) };
  });
}

function survivors(individuals: readonly Individual[]): readonly Ranked<Individual>[] {
  const distinct = new Map(individuals.map((individual) => [individual.candidate.id, individual]));
  return rankAll([...distinct.values()])
    .toSorted(compareRanked)
    .slice(0, populationSize);
}

function childOf(parents: readonly Ranked<Individual>[], { space, random }: EvolutionInput): Genotype {
  const first = winner(parents, random);
  return mutate(random.chance(crossedShare) ? cross(first, winner(parents, random), random) : first, space, random);
}

/** The better of two drawn ones. Survivors are sorted, so that it is the one that comes first. */
function winner(parents: readonly Ranked<Individual>[], random: Random): Genotype {
  const place = Math.min(random.below(parents.length), random.below(parents.length));
  return required(parents[place], "parent").point.genotype;
}
