/** Dominance between points of several objectives, all of them to be made small (Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, 2002). */
import { required } from "../errors.ts";

/** What a point is judged by. */
export interface Judged {
  /** Less is better. */
  readonly objectives: readonly number[];
  /** By how much it breaks its constraints; 0 where it keeps them. */
  readonly violation: number;
}

/** Whether `a` is better: it breaks less, or, where both keep their constraints, it is nowhere worse and somewhere better. */
export function dominates(a: Judged, b: Judged): boolean {
  if (a.violation !== b.violation) return a.violation < b.violation;
  const pairs = a.objectives.map((own, i) => [own, required(b.objectives[i], "objective")] as const);
  return pairs.every(([own, other]) => own <= other) && pairs.some(([own, other]) => own < other);
}

/** The points that no other dominates, in their order. */
export function frontOf<T extends Judged>(points: readonly T[]): readonly T[] {
  return points.filter((point) => !points.some((other) => dominates(other, point)));
}

/** A point's place among others. */
export interface Ranked<T> {
  readonly point: T;
  /** 0 on the front, 1 on the front of the others, and so on. */
  readonly rank: number;
  /** How far its neighbours on the same front lie apart; Infinity at the ends. */
  readonly crowding: number;
}

/** Ranks and crowding of all points. */
export function rankAll<T extends Judged>(points: readonly T[]): readonly Ranked<T>[] {
  return frontsOf(points).flatMap((front, rank) => {
    const crowding = crowdingOf(front);
    return front.map((point, i) => ({ point, rank, crowding: required(crowding[i], "crowding") }));
  });
}

/** Negative where `a` goes first: a better rank, or more room around it. */
export function compareRanked(a: Ranked<unknown>, b: Ranked<unknown>): number {
  return a.rank - b.rank || (a.crowding === b.crowding ? 0 : b.crowding - a.crowding);
}

/** The points front by front: each point counts by how many it is dominated, and those free of that are peeled off. */
function frontsOf<T extends Judged>(points: readonly T[]): readonly (readonly T[])[] {
  const above = points.map((point) => points.filter((other) => dominates(other, point)).length);
  const fronts: T[][] = [];
  let current = points.flatMap((_, i) => (above[i] === 0 ? [i] : []));
  while (current.length > 0) {
    const front = current.map((i) => required(points[i], "point"));
    fronts.push(front);
    current.forEach((i) => (above[i] = -1));
    points.forEach((point, i) => {
      if (required(above[i], "count") > 0) above[i] = required(above[i], "count") - front.filter((other) => dominates(other, point)).length;
    });
    current = points.flatMap((_, i) => (above[i] === 0 ? [i] : []));
  }
  return fronts;
}

/** For each point the sum, over objectives, of the distance between its two neighbours in that objective, of the front's extent. */
function crowdingOf(front: readonly Judged[]): readonly number[] {
  const crowding = front.map(() => 0);
  const count = front[0]?.objectives.length ?? 0;
  for (let objective = 0; objective < count; objective++) {
    const value = (i: number): number => required(front[i]?.objectives[objective], "objective");
    const order = front.map((_, i) => i).sort((a, b) => value(a) - value(b));
    const [first, last] = [required(order[0], "point"), required(order.at(-1), "point")];
    const extent = value(last) - value(first);
    order.forEach((i, place) => {
      const [before, after] = [order[place - 1], order[place + 1]];
      const isEnd = before === undefined || after === undefined;
      crowding[i] = required(crowding[i], "crowding") + (isEnd ? Infinity : extent === 0 ? 0 : (value(after) - value(before)) / extent);
    });
  }
  return crowding;
}
