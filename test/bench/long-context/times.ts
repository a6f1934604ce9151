/** Times of a token at each depth: measured where they were, planned elsewhere. */
import type { ModelFigures, ShapeFigures } from "./figures.ts";
import { measuredOf, timeModel, type Target, type TimeModel } from "./prediction.ts";
import { depths, kinds, type Kind } from "./study.ts";

export interface TimePoint {
  readonly depth: number;
  readonly seconds: number;
  readonly isMeasured: boolean;
}

/** Of one target: its time model, and the points of every model that it has any of. */
export interface Times {
  readonly target: Target;
  readonly model: TimeModel;
  readonly of: (shape: ShapeFigures, kind: Kind) => readonly TimePoint[];
}

/** The times of a target, or null where too little was measured. WebAssembly has those shapes alone of which something was measured. */
export function timesOf(shapes: readonly ShapeFigures[], target: Target): Times | null {
  const model = timeModel(shapes, target);
  if (model === null) return null;
  const has = (shape: ShapeFigures): boolean => target === "c-x86" || kinds.some((kind) => measuredOf(shape.models[kind], target) !== null);
  return { target, model, of: (shape, kind) => (has(shape) ? pointsOf(shape.models[kind], target, model) : []) };
}

/** The depth up to which a token takes no more than `factor` times what it takes at the first; the last where that is so everywhere. */
export function steadyDepth(points: readonly TimePoint[], factor: number): number {
  const [first] = points;
  const after = points.findIndex(({ seconds }) => seconds > factor * (first?.seconds ?? 0));
  const [before, beyond] = [points[after - 1], points[after]];
  if (!first || !before || !beyond) return points.at(-1)?.depth ?? 0;
  // Time is a straight line over depth.
  const part = (factor * first.seconds - before.seconds) / (beyond.seconds - before.seconds);
  return before.depth + part * (beyond.depth - before.depth);
}

function pointsOf(model: ModelFigures, target: Target, { seconds }: TimeModel): readonly TimePoint[] {
  const measured = measuredOf(model, target);
  return depths.map((depth) => {
    const point = measured?.points.find((each) => each.depth === depth);
    return { depth, seconds: point?.seconds ?? seconds(model, depth), isMeasured: point !== undefined };
  });
}
