/** Where a candidate's quality comes from: sizes alone, or the user's command and, of candidates that it has not seen, their neighbours. */
import { required } from "../errors.ts";
import type { Verdict } from "./evaluator.ts";
import { capacityOf } from "./quality.ts";
import { sizesOf } from "./sizes.ts";
import type { BaseConfig, Candidate, Point } from "./types.ts";

type Quality = Pick<Point, "quality" | "qualitySource" | "qualityFault">;

export interface Judge {
  /** What the search goes by; higher is better. */
  readonly estimate: (candidate: Candidate) => number;
  /** Called with candidates that were measured. */
  readonly learn: (candidates: readonly Candidate[]) => Promise<void>;
  /** What the results say. */
  readonly qualityOf: (candidate: Candidate) => Quality;
}

/** Judges by capacity. */
export function capacityJudge(base: BaseConfig): Judge {
  const estimate = (candidate: Candidate): number => capacityOf(candidate, base);
  return {
    estimate,
    learn: () => Promise.resolve(),
    qualityOf: (candidate) => ({ quality: estimate(candidate), qualitySource: "capacity", qualityFault: null }),
  };
}

/** Judges by `evaluate`, which is asked once for each candidate that was measured. Before the first figure, the search goes by capacity. */
export function commandJudge(base: BaseConfig, evaluate: (candidate: Candidate) => Promise<Verdict>): Judge {
  const verdicts = new Map<string, Verdict>();
  const known: { readonly place: readonly number[]; readonly quality: number }[] = [];
  const estimate = (candidate: Candidate): number =>
    known.length === 0 ? capacityOf(candidate, base) : ofNeighbours(placeOf(candidate, base), known);
  return {
    estimate,
    learn: async (candidates) => {
      for (const candidate of candidates) {
        const verdict = await evaluate(candidate);
        verdicts.set(candidate.id, verdict);
        if (verdict.quality !== null) known.push({ place: placeOf(candidate, base), quality: verdict.quality });
      }
    },
    qualityOf: (candidate) => {
      const verdict = verdicts.get(candidate.id);
      if (verdict) return { quality: verdict.quality, qualitySource: "command", qualityFault: verdict.fault };
      return { quality: known.length === 0 ? null : estimate(candidate), qualitySource: "neighbours", qualityFault: null };
    },
  };
}

/** Neighbours whose figures count. */
const neighbours = 3;
/** Distance below which two places are as good as one. */
const nearest = 1e-3;

/** The mean of the nearest figures, each weighed by how near it is. */
function ofNeighbours(place: readonly number[], known: readonly { readonly place: readonly number[]; readonly quality: number }[]): number {
  const near = known
    .map((each) => ({ quality: each.quality, weight: 1 / Math.max(nearest, distance(place, each.place)) }))
    .toSorted((a, b) => b.weight - a.weight)
    .slice(0, neighbours);
  const total = near.reduce((sum, { weight }) => sum + weight, 0);
  return near.reduce((sum, { quality, weight }) => sum + (quality * weight) / total, 0);
}

/** What quality may depend on, each in units that make a difference alike: doublings, mostly. */
function placeOf(candidate: Candidate, base: BaseConfig): readonly number[] {
  const { layers, width, kvHeads, heads, convWidth, quant, kv, experts } = candidate;
  const { parameters, activeParameters, embedding } = sizesOf(candidate, base);
  const attention = layers.filter((kind) => kind === "full_attention").length / layers.length;
  return [
    ...[parameters - embedding, activeParameters - embedding, layers.length, width, heads / kvHeads, convWidth].map(Math.log2),
    4 * attention,
    experts ? 1 : 0,
    quant === "q3_0" ? 0 : quant === "q4_0" || quant === "q4_1" ? 1 : 2,
    kv === "q8_0" ? 0 : 0.5,
  ];
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((x, i) => x - required(b[i], "coordinate")));
}
