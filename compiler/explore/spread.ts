/** Choosing points that lie far apart. */
import { required } from "../errors.ts";
import { featuresOf } from "./features.ts";
import type { Frame } from "./models.ts";
import type { Judged } from "./pareto.ts";
import type { Candidate } from "./types.ts";

/** Up to `count` of the points, one after the other that which lies farthest from all that were chosen before and from `known`. */
export function farthest<T, Place>(
  points: readonly T[],
  placeOf: (point: T) => Place,
  known: readonly Place[],
  distance: (a: Place, b: Place) => number,
  count: number,
): readonly T[] {
  const places = points.map(placeOf);
  const gaps = places.map((place) => Math.min(Infinity, ...known.map((other) => distance(place, other))));
  const chosen: T[] = [];
  while (chosen.length < Math.min(count, points.length)) {
    const next = gaps.reduce((best, gap, i) => (gap > required(gaps[best], "gap") ? i : best), 0);
    chosen.push(required(points[next], "point"));
    const place = required(places[next], "place");
    // Below every distance, so that no point is chosen twice.
    places.forEach((other, i) => (gaps[i] = i === next ? -1 : Math.min(required(gaps[i], "gap"), distance(place, other))));
  }
  return chosen;
}

/** Distance between what points are judged by, in each objective as a share of its extent over `all`. */
export function objectiveDistance(all: readonly Judged[]): (a: Judged, b: Judged) => number {
  const count = all[0]?.objectives.length ?? 0;
  const extents = Array.from({ length: count }, (_, i) => {
    const values = all.map(({ objectives }) => required(objectives[i], "objective"));
    return Math.max(...values) - Math.min(...values) || 1;
  });
  return (a, b) =>
    Math.hypot(...extents.map((extent, i) => (required(a.objectives[i], "objective") - required(b.objectives[i], "objective")) / extent));
}

/** A feature of less than so many milliseconds is as good as none. */
const leastMs = 0.02;

/** Distance between what two candidates' tokens consist of: for each feature of decoding, the doublings between its nominal times. */
export function featureDistance({ base, work }: Frame): (a: Candidate, b: Candidate) => number {
  const places = new Map<string, readonly number[]>();
  const placeOf = (candidate: Candidate): readonly number[] => {
    const known = places.get(candidate.id);
    if (known) return known;
    const place = featuresOf("decodeMs", candidate, base, work).map(({ quantity, nominalMs }) => Math.log2(quantity * nominalMs + leastMs));
    places.set(candidate.id, place);
    return place;
  };
  return (a, b) => {
    const other = placeOf(b);
    return Math.hypot(...placeOf(a).map((x, i) => x - required(other[i], "feature")));
  };
}
