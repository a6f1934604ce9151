/** Which tile is best, of what was measured, and what the counted instructions would have said. */
import { required } from "../errors.ts";
import type { TileShape } from "../kernel/atom.ts";
import { fitWeights } from "./fit.ts";
import type { TileTiming } from "./tile-timings.ts";

/** An atom, and the tiles that it is to go in. */
export interface TileChoice {
  readonly atom: string;
  readonly tile: TileShape;
}

/** Two that are closer than this are as good as each other: then the one with fewer rows or panels leaves less over, and takes less room. */
const closeness = 0.03;

/** The best tile for many rows, with the best way of its atom for a single one. Takes timings of one variant and format, at one or more shapes. */
export function chooseTile(timings: readonly TileTiming[]): TileChoice {
  const { atom, tile } = bestOf(
    timings.filter(({ rows }) => rows > 1),
    ({ tile: { rows, unpackedParts } }) => [rows, unpackedParts ?? 0],
  );
  const single = bestOf(
    timings.filter((timing) => timing.rows === 1 && timing.atom === atom),
    ({ tile: { streamedPanels } }) => [streamedPanels ?? 0],
  );
  return { atom, tile: { ...tile, streamedPanels: single.tile.streamedPanels } };
}

/** Of the candidates that are close to the fastest, over all shapes, the one whose sizes are least, the first of them counting most. */
function bestOf(timings: readonly TileTiming[], sizes: (choice: TileChoice) => readonly number[]): TileChoice {
  const candidates = [...new Map(timings.map(({ atom, tile }) => [keyOf({ atom, tile }), { atom, tile }])).values()];
  const scored = candidates.map((choice) => ({ choice, score: relativeSeconds(timings, choice) }));
  const least = Math.min(...scored.map(({ score }) => score));
  const [best] = scored
    .filter(({ score }) => score <= least * (1 + closeness))
    .map(({ choice }) => choice)
    .toSorted((a, b) => compare(sizes(a), sizes(b)));
  return required(best, "candidate of a tile");
}

/** The mean over the shapes of a candidate's time, over the least at that shape. */
function relativeSeconds(timings: readonly TileTiming[], choice: TileChoice): number {
  const own = timings.filter((timing) => keyOf(timing) === keyOf(choice));
  return own.reduce((sum, timing) => sum + timing.seconds / fastestAt(timings, timing), 0) / own.length;
}

/** Least seconds of the timings at the shape and number of rows of one of them. */
function fastestAt(timings: readonly TileTiming[], { shape, rows }: TileTiming): number {
  const rivals = timings.filter((timing) => timing.rows === rows && isSame(timing.shape, shape));
  return Math.min(...rivals.map(({ seconds }) => seconds));
}

function isSame(a: TileTiming["shape"], b: TileTiming["shape"]): boolean {
  return a.rows === b.rows && a.columns === b.columns;
}

function keyOf({ atom, tile: { rows, unpackedParts, streamedPanels } }: TileChoice): string {
  return [atom, rows, unpackedParts, streamedPanels].join(" ");
}

function compare(a: readonly number[], b: readonly number[]): number {
  const differences = a.map((x, i) => x - required(b[i], "size"));
  return differences.find((difference) => difference !== 0) ?? 0;
}

/** Many rows' seconds as weighed counts of instructions. */
export interface TileFit {
  readonly secondsPerOperation: number;
  readonly secondsPerLoad: number;
  /** Mean of |predicted / measured - 1|. */
  readonly meanError: number;
  /** At the worst shape and format, how much longer the tile takes that the fit would choose than the fastest, as a share. */
  readonly largestLoss: number;
}

/** Fits what the tables of a variant's formats say of many rows. */
export function fitTiles(tables: readonly (readonly TileTiming[])[]): TileFit {
  const many = tables.map((timings) => timings.filter(({ rows }) => rows > 1));
  const weights = fitWeights(many.flat().map(({ operations, loads, seconds }) => ({ features: [operations, loads], value: seconds })));
  const [secondsPerOperation = 0, secondsPerLoad = 0] = weights;
  const predicted = ({ operations, loads }: TileTiming): number => secondsPerOperation * operations + secondsPerLoad * loads;
  const errors = many.flat().map((timing) => Math.abs(predicted(timing) / timing.seconds - 1));
  const losses = many.flatMap((timings) =>
    timings.map((timing) => {
      const rivals = timings.filter(({ shape }) => isSame(shape, timing.shape));
      const chosen = rivals.reduce((best, rival) => (predicted(rival) < predicted(best) ? rival : best));
      return chosen.seconds / fastestAt(timings, timing) - 1;
    }),
  );
  const meanError = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { secondsPerOperation, secondsPerLoad, meanError, largestLoss: Math.max(...losses) };
}
