/** The cost models of a search: one for each site and figure, fitted anew to all that was measured. */
import { median } from "../bench/timing.ts";
import { required } from "../errors.ts";
import { fitCosts, type CostModel } from "./cost-model.ts";
import type { Entry } from "./entry.ts";
import { featuresOf } from "./features.ts";
import {
  figures,
  isRefused,
  type BaseConfig,
  type BySite,
  type Candidate,
  type Figure,
  type ModelReport,
  type Predicted,
  type Work,
} from "./types.ts";

/** What candidates of one search share. */
export interface Frame {
  readonly base: BaseConfig;
  readonly work: Work;
  readonly siteCount: number;
}

export interface Models {
  readonly bySite: BySite<Readonly<Record<Figure, CostModel>>>;
  readonly predict: (candidate: Candidate) => BySite<Predicted>;
}

/** The models after `entries`; with none of them, of the nominal weights. */
export function fitModels(entries: readonly Entry[], { base, work, siteCount }: Frame): Models {
  const modelOf = (figure: Figure, site: number): CostModel =>
    fitCosts(
      entries.flatMap(({ candidate, measured }) => {
        const outcome = measured[site];
        if (outcome === undefined || isRefused(outcome)) return [];
        return [{ features: featuresOf(figure, candidate, base, work), measuredMs: outcome[figure] }];
      }),
    );
  const bySite = Array.from({ length: siteCount }, (_, site) => ({
    decodeMs: modelOf("decodeMs", site),
    prefillMs: modelOf("prefillMs", site),
  }));
  const predict = (candidate: Candidate): BySite<Predicted> => {
    const decode = featuresOf("decodeMs", candidate, base, work);
    const prefill = featuresOf("prefillMs", candidate, base, work);
    return bySite.map((models) => ({ decodeMs: models.decodeMs.predict(decode), prefillMs: models.prefillMs.predict(prefill) }));
  };
  return { bySite, predict };
}

/** The weights of each site's models, and how far they were off of candidates that they had not seen. */
export function reportModels(models: Models, entries: readonly Entry[]): BySite<readonly ModelReport[]> {
  return models.bySite.map((ofSite, site) =>
    figures.map((figure) => {
      const errors = unseenErrors(entries, site, figure);
      const weights = Object.fromEntries([...ofSite[figure].weights].filter(([, weight]) => weight > 0));
      return { figure, weights, unseenErrors: errors, medianError: errors.length === 0 ? null : median(errors) };
    }),
  );
}

/** |predicted - measured| / measured, of what was predicted before it was measured. */
function unseenErrors(entries: readonly Entry[], site: number, figure: Figure): readonly number[] {
  return entries.flatMap(({ predicted, measured }) => {
    const outcome = measured[site];
    if (predicted === null || outcome === undefined || isRefused(outcome)) return [];
    const foretold = required(predicted[site], "prediction")[figure];
    return [Math.abs(foretold - outcome[figure]) / outcome[figure]];
  });
}
