/** Seeded choices. The stream depends on the seed and on the number of calls before, and on nothing else. */
import { uniform } from "../../runtime/random.ts";
import { required } from "../errors.ts";

export interface Random {
  /** A number from 0, below 1. */
  readonly next: () => number;
  /** A whole number from 0, below `count`. */
  readonly below: (count: number) => number;
  /** One of `items`, of which there must be one. */
  readonly pick: <T>(items: readonly T[]) => T;
  readonly chance: (probability: number) => boolean;
}

/** `seed`: a whole number from 0 to 2^53 - 1. */
export function createRandom(seed: number): Random {
  let position = 0;
  const next = (): number => uniform(seed, position++);
  const below = (count: number): number => Math.floor(next() * count);
  return {
    next,
    below,
    pick: (items) => required(items[below(items.length)], "item"),
    chance: (probability) => next() < probability,
  };
}
