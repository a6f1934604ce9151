/** What a point's measurements at one site come to. */
import { isRefused, type Budgets, type Measured, type SitePoint } from "./types.ts";

/** What is known of a point at a site: measured twice, once, or foretold; null where nothing is. */
export interface SiteFigures {
  readonly source: "confirmed" | "measured" | "predicted";
  /** The worse of two measurements. */
  readonly decodeMs: number;
  readonly prefillMs: number;
  readonly memoryBytes: number;
  readonly cacheBytes: number;
  /** The last measurement; null of a point that was foretold. */
  readonly measured: Measured | null;
}

export function siteFigures({ planned, predicted, measured, confirmed }: SitePoint): SiteFigures | null {
  const taken = [measured, confirmed].flatMap((each) => (each === null || isRefused(each) ? [] : [each]));
  const last = taken.at(-1);
  if (last) {
    const worst = (figure: (each: Measured) => number): number => Math.max(...taken.map(figure));
    return {
      source: taken.length > 1 ? "confirmed" : "measured",
      decodeMs: worst(({ decodeMs }) => decodeMs),
      prefillMs: worst(({ prefillMs }) => prefillMs),
      memoryBytes: last.memoryBytes,
      cacheBytes: last.cacheBytes,
      measured: last,
    };
  }
  if (measured !== null || predicted === null || isRefused(planned)) return null;
  const { memoryBytes, cacheBytes } = planned;
  return { source: "predicted", ...predicted, memoryBytes, cacheBytes, measured: null };
}

/** What a time may be, so that it keeps its budget with the margin. */
export function withMargin(budget: number, { margin }: Pick<Budgets, "margin">): number {
  return budget / (1 + margin);
}
