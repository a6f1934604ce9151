/** Results as a search writes them, small enough to write by hand: two sites, four candidates, whose ids are `a` to `d` eight times. */
import { defaultBase } from "../../compiler/explore/candidate-config.ts";
import type { Candidate, Measured, Point, Results, SitePoint } from "../../compiler/explore/types.ts";
import { fakeSites } from "./fake-laboratory.ts";

export function sampleCandidate(letter: string): Candidate {
  return {
    id: letter.repeat(8),
    layers: ["conv", "conv", "full_attention", "conv"],
    width: 128,
    heads: 2,
    kvHeads: 1,
    convWidth: 3,
    ffnWidth: 256,
    experts: letter === "b" ? { count: 8, perToken: 2, width: 192, denseLayers: 1 } : null,
    quant: "q4_0",
    kv: "f16",
  };
}

export function sampleMeasured(decodeMs: number): Measured {
  return {
    decodeMs,
    decodeSpread: 0.05,
    prefillMs: 100 * decodeMs,
    memoryBytes: 20e6,
    cacheBytes: 2e6,
    peakBytes: 90e6,
    moduleBytes: 60e3,
    buildSeconds: 2,
  };
}

const planned = { memoryBytes: 20e6, cacheBytes: 2e6, weightBytes: 10e6, parameters: 5e6 };

/** Measured once, foretold to be a tenth slower. */
function once(decodeMs: number): SitePoint {
  const predicted = { decodeMs: 1.1 * decodeMs, prefillMs: 110 * decodeMs };
  return { planned, predicted, measured: sampleMeasured(decodeMs), confirmed: null, exceeded: decodeMs > 2.7 ? ["max-decode-ms"] : [] };
}

function point(letter: string, quality: number, sites: readonly SitePoint[]): Point {
  const candidate = sampleCandidate(letter);
  return {
    candidate,
    parameters: 5e6,
    activeParameters: 4e6,
    quality,
    qualitySource: "capacity",
    qualityFault: null,
    sites,
    commands: fakeSites.map(({ target }) => `lfmc compile configs/${candidate.id}.json --target ${target}`),
  };
}

/** `a` and `b` make the fronts, `c` breaks the budget at the first site and cannot be measured at the second, `d` was foretold alone. */
export const sampleResults: Results = {
  format: "lfmc-explore",
  version: 1,
  lfmc: "0.0.0",
  command: "lfmc explore --max-decode-ms 3 --max-memory 60MB",
  seed: 1,
  budgets: { decodeMs: 3, prefillMs: null, memoryBytes: 60e6, parameters: null, margin: 0.1 },
  work: { context: 1024, prompt: 128, threads: 1 },
  sites: fakeSites,
  space: { width: [128] },
  base: { ...defaultBase, vocab_size: 4096 },
  evaluate: null,
  screened: 1234,
  rounds: 2,
  endedBy: "measurements",
  points: [
    point("a", 1.5, [
      { ...once(1), confirmed: sampleMeasured(1.25) },
      { ...once(0.5), confirmed: sampleMeasured(0.4) },
    ]),
    point("b", 2.5, [{ ...once(2), confirmed: sampleMeasured(2) }, once(1)]),
    point("c", 3.5, [once(2.9), { ...once(1), measured: { refused: "the process ended with SIGKILL" } }]),
  ],
  fronts: [["bbbbbbbb", "aaaaaaaa"], ["aaaaaaaa"]],
  predictedFronts: [
    [
      point("d", 3, [
        { ...once(2.5), measured: null },
        { ...once(1.5), measured: null },
      ]),
    ],
    [],
  ],
  models: fakeSites.map(() => [
    { figure: "decodeMs", weights: { bytes: 1 }, unseenErrors: [0.1, 0.1, 0.1], medianError: 0.1 },
    { figure: "prefillMs", weights: { bytes: 1 }, unseenErrors: [], medianError: null },
  ]),
  refusals: [],
};
