/** A device that is a formula: what a candidate takes follows from its sizes, in a way that no cost model has quite the features for, and noise of a seed. */
import { uniform } from "../../runtime/random.ts";
import { mix } from "../../compiler/numeric/mix.ts";
import { estimateMemory } from "../../compiler/explore/memory.ts";
import { bytesPerWeight, layerCounts, sizesOf } from "../../compiler/explore/sizes.ts";
import type { BaseConfig, BySite, Candidate, Laboratory, Measured, Planned, Refused, Site, Work } from "../../compiler/explore/types.ts";

export const fakeSites: readonly Site[] = [
  { target: "wasm-simd", variant: "relaxed", engine: "a formula", cpu: "none", threads: 1 },
  { target: "c-x86", variant: "avx2", engine: "another formula", cpu: "none", threads: 1 },
];

/** Milliseconds without noise: the second site is twice as fast, but not at what comes with each layer. */
export function trueTimes(candidate: Candidate, site: number, base: BaseConfig, work: Work): Pick<Measured, "decodeMs" | "prefillMs"> {
  const { activeParameters, embedding } = sizesOf(candidate, base);
  const { attention } = layerCounts(candidate);
  const { width, heads, layers, quant, kv } = candidate;
  const bytes = activeParameters * bytesPerWeight[quant];
  const faster = site === 0 ? 1 : 2;
  const weights = (bytes / 8e6) * (bytes > 6e6 ? 1.15 : 1);
  const cache = (attention * width * work.context * (kv === "f16" ? 1 : 1.3)) / 6e6 + (attention * heads * work.context) / 1e6;
  const decodeMs = (weights + cache) / faster + layers.length * 0.01 + 0.05;
  const macs = (activeParameters - embedding) * work.prompt;
  const prefillMs = macs / 3e7 / faster + layers.length * 0.2 + embedding / 1e7 + 1;
  return { decodeMs, prefillMs };
}

export interface FakeLaboratory extends Laboratory {
  /** Candidates measured, in order; those of the front a second time. */
  readonly asked: readonly string[];
}

/** Noise goes up to `noise`, a share, to both sides. `refuses` says which candidates the compiler would not take. */
export function fakeLaboratory(
  base: BaseConfig,
  work: Work,
  { noise = 0.02, refuses = () => false }: { noise?: number; refuses?: (candidate: Candidate) => boolean } = {},
): FakeLaboratory {
  const asked: string[] = [];
  const plan = (candidate: Candidate): BySite<Planned | Refused> =>
    fakeSites.map(() =>
      refuses(candidate)
        ? { refused: "no such model" }
        : {
            memoryBytes: Math.round(estimateMemory(candidate, base, work)),
            cacheBytes: 1,
            weightBytes: 1,
            parameters: sizesOf(candidate, base).parameters,
          },
    );
  const measureAt = (candidate: Candidate, site: number): Measured => {
    const draw = uniform(mix(Number(`0x${candidate.id}`)) >>> 0, 2 * asked.length + site);
    const factor = 1 + noise * (2 * draw - 1);
    const { decodeMs, prefillMs } = trueTimes(candidate, site, base, work);
    return {
      decodeMs: decodeMs * factor,
      decodeSpread: noise,
      prefillMs: prefillMs * factor,
      memoryBytes: Math.round(estimateMemory(candidate, base, work)),
      cacheBytes: 1,
      peakBytes: 1,
      moduleBytes: 1,
      buildSeconds: 1,
    };
  };
  return {
    asked,
    sites: fakeSites,
    plan: (candidate) => Promise.resolve(plan(candidate)),
    measure: (candidates) =>
      Promise.resolve(
        candidates.map((candidate) => {
          asked.push(candidate.id);
          return fakeSites.map((_, site) => measureAt(candidate, site));
        }),
      ),
    close: () => Promise.resolve(),
  };
}
