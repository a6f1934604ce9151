/** What the figures say about the claim, in sentences. */
import { required } from "../../../compiler/errors.ts";
import type { DepthPlan, Figures, ShapeFigures } from "./figures.ts";
import type { Kind } from "./study.ts";
import { steadyDepth, type TimePoint, type Times } from "./times.ts";

/** What still counts as nearly constant, as a part of the time at the first depth. */
const steady = 1.25;

/** Paragraphs; of times too where there are any. */
export function findings({ shapes }: Figures, times: Times | null): readonly string[] {
  return [memoryFinding(shapes), ...(times ? [timeFinding(shapes, times), whereFinding(shapes, times)] : [])];
}

function memoryFinding(shapes: readonly ShapeFigures[]): string {
  const perPosition = (kind: Kind): string => range(shapes, ({ models }) => models[kind].cost.cacheBytesPerPosition / 1024, 0);
  const growth = (kind: Kind): string => range(shapes, ({ models }) => growthOf(models[kind].plans, ({ totalBytes }) => totalBytes));
  const ratio = range(shapes, ({ models }) => ends(models.plain.plans).last.sessionBytes / ends(models.ours.plans).last.sessionBytes);
  const checkpoints = range(shapes, ({ models: { ours } }) => {
    const { depth, sessionBytes } = ends(ours.plans).last;
    return 100 * (1 - (depth * ours.cost.cacheBytesPerPosition) / sessionBytes);
  });
  return [
    `**Memory is not constant: it grows ${ratio} times more slowly.** The attention layers that LFM2 keeps have a cache like any others: a position takes ${perPosition("ours")} KiB,`,
    `of the plain model ${perPosition("plain")}. A session of 128k positions takes the plain model ${ratio} times as much. (${checkpoints} % of LFM2's are copies of the convolutions' recent rows, one`,
    `every 128 positions, by which lfmc rewinds a session.) From 1k to 128k positions the whole plan of LFM2, weights included, grows to ${growth("ours")} times its size, of the plain model to ${growth("plain")} times.`,
  ].join(" ");
}

function timeFinding(shapes: readonly ShapeFigures[], { of }: Times): string {
  const growth = (kind: Kind): string => range(shapes, (shape) => growthOf(of(shape, kind), ({ seconds }) => seconds));
  const ratioAt = (end: "first" | "last"): string =>
    range(shapes, (shape) => ends(of(shape, "plain"))[end].seconds / ends(of(shape, "ours"))[end].seconds, 2);
  return [
    `**Time likewise.** At 1k positions, where a token reads weights and hardly any cache, the plain model takes ${ratioAt("first")} times as long as LFM2; at 128k ${ratioAt("last")} times.`,
    `A token of LFM2 takes ${growth("ours")} times as long at 128k as at 1k, of the plain model ${growth("plain")} times.`,
  ].join(" ");
}

function whereFinding(shapes: readonly ShapeFigures[], { of }: Times): string {
  const depthsOf = (kind: Kind): string => range(shapes, (shape) => steadyDepth(of(shape, kind), steady) / 1024);
  const share = range(
    shapes,
    ({ models: { ours } }) => {
      const cacheBytes = ends(ours.plans).last.depth * ours.cost.cacheBytesPerPosition;
      return (100 * cacheBytes) / (cacheBytes + ours.cost.weightBytes);
    },
    0,
  );
  return [
    `**Nearly constant it is as long as the cache is small beside the weights.** Up to ${depthsOf("ours")}k positions, depending on the shape, a token of LFM2 takes at most a quarter longer than at 1k;`,
    `of the plain model up to ${depthsOf("plain")}k. The more weights a token reads for each attention layer, the longer it lasts. At 128k the cache is ${share} % of what a token of LFM2 reads.`,
  ].join(" ");
}

/** `1.2 to 3.4`, or one number where both are the same. */
export function range<T>(items: readonly T[], figure: (item: T) => number, decimals = 1): string {
  const figures = items.map(figure);
  const [least, most] = [Math.min(...figures).toFixed(decimals), Math.max(...figures).toFixed(decimals)];
  return least === most ? least : `${least} to ${most}`;
}

function growthOf<T extends DepthPlan | TimePoint>(points: readonly T[], figure: (point: T) => number): number {
  const { first, last } = ends(points);
  return figure(last) / figure(first);
}

function ends<T extends DepthPlan | TimePoint>(points: readonly T[]): { readonly first: T; readonly last: T } {
  return { first: required(points[0], "point"), last: required(points.at(-1), "point") };
}
