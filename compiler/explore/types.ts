/** What the parts of `lfmc explore` hand each other: candidates, what is planned and measured of them, and what is written down. All of it is JSON. */
import { weightFormats, type WeightFormat } from "../passes/index.ts";
import type { TargetName } from "../targets.ts";

/** As `layer_types` of a config spells them. */
export type LayerType = "conv" | "full_attention";

/** Encodings of the matrices that a search may choose from. */
export type QuantName = Exclude<WeightFormat, "keep">;
export const quantNames: readonly QuantName[] = weightFormats.filter((name) => name !== "keep");

/** Encodings of the KV cache that a search may choose from. */
export type CacheName = "f16" | "q8_0";

/** The experts of a mixture; its first `denseLayers` layers have a dense feed-forward. */
export interface ExpertGenes {
  readonly count: number;
  readonly perToken: number;
  readonly width: number;
  readonly denseLayers: number;
}

/** What of an architecture the search chooses. */
export interface Genes {
  readonly layers: readonly LayerType[];
  readonly width: number;
  /** The size of a head is width / heads. */
  readonly heads: number;
  readonly kvHeads: number;
  /** Taps of the short convolution. */
  readonly convWidth: number;
  /** Rows of w1. */
  readonly ffnWidth: number;
  readonly experts: ExpertGenes | null;
  readonly quant: QuantName;
  readonly kv: CacheName;
}

/** One point of the space. */
export interface Candidate extends Genes {
  /** 8 hexadecimal digits that depend on the rest alone; the name of its files. */
  readonly id: string;
}

/** What candidates take from a config, as it spells it. */
export interface BaseConfig {
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly norm_eps: number;
  readonly rope_theta: number;
  readonly tie_word_embeddings: boolean;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | readonly number[] | null;
  readonly pad_token_id: number | null;
}

/** Limits of what a candidate may take on each target; null is none. A measured figure keeps one where `figure * (1 + margin)` does. */
export interface Budgets {
  /** Milliseconds of a token at the end of the context. */
  readonly decodeMs: number | null;
  /** Milliseconds of reading a prompt of `prompt` tokens from position 0. */
  readonly prefillMs: number | null;
  /** Bytes of the plan: memory, weights, one thread's scratch. No margin: it is exact. */
  readonly memoryBytes: number | null;
  /** Of all weights, the embedding's too. No margin: it is exact. */
  readonly parameters: number | null;
  /** Share, above 0, by which measured times must stay below their budgets, because machines vary from hour to hour. */
  readonly margin: number;
}

/** The same for every candidate. */
export interface Work {
  /** Positions of a session. */
  readonly context: number;
  /** Tokens of the prompt whose reading is timed. */
  readonly prompt: number;
  readonly threads: number;
}

/** Where candidates are measured: one variant of one target on this machine. */
export interface Site {
  readonly target: TargetName;
  /** The name of the variant that runs. */
  readonly variant: string;
  /** What runs it: "Node.js 26.0.0, V8 …", or the compiler. */
  readonly engine: string;
  readonly cpu: string;
  readonly threads: number;
}

/** Why something could not be had of a candidate: the compiler's refusal, or that of the process that measures. */
export interface Refused {
  readonly refused: string;
}

/** What a compile without writing tells, to the byte. */
export interface Planned {
  /** Memory, weights and one thread's scratch. */
  readonly memoryBytes: number;
  /** Of a session. */
  readonly cacheBytes: number;
  readonly weightBytes: number;
  readonly parameters: number;
}

/** What was measured of a candidate that was built. */
export interface Measured {
  /** Median milliseconds of a token that is decoded at the end of the context. */
  readonly decodeMs: number;
  /** (90th - 10th percentile) / median of its samples. */
  readonly decodeSpread: number;
  /** Median milliseconds of reading the prompt from position 0. */
  readonly prefillMs: number;
  /** As planned, of the artefact that was built. */
  readonly memoryBytes: number;
  /** Of a session. */
  readonly cacheBytes: number;
  /** Peak resident set of the process that measured. */
  readonly peakBytes: number;
  /** Of the module, or the library. */
  readonly moduleBytes: number;
  readonly buildSeconds: number;
}

/** One of each site, in the sites' order. */
export type BySite<T> = readonly T[];

/** Builds and measures candidates. What it cannot do with one of them is a value, not an exception. */
export interface Laboratory {
  readonly sites: readonly Site[];
  /** Builds nothing. */
  plan(candidate: Candidate): Promise<BySite<Planned | Refused>>;
  /** Builds them, several at once, and then measures them one after the other, alone. In the order asked for. */
  measure(candidates: readonly Candidate[]): Promise<readonly BySite<Measured | Refused>[]>;
  /** Removes what it has written. */
  close(): Promise<void>;
}

/** Whether it is why there is no result, not one. */
export function isRefused(outcome: object): outcome is Refused {
  return "refused" in outcome;
}

/** What the cost model said of a candidate before it was measured. */
export interface Predicted {
  readonly decodeMs: number;
  readonly prefillMs: number;
}

/** The measured figures for which there is a cost model. */
export type Figure = keyof Predicted;
export const figures: readonly Figure[] = ["decodeMs", "prefillMs"];

/** Where a candidate's quality comes from: sizes alone, the user's command, or its neighbours that the command has seen. */
export type QualitySource = "capacity" | "command" | "neighbours";

/** A candidate at one site. */
export interface SitePoint {
  readonly planned: Planned | Refused;
  /** Before it was measured; null for those of the samples that the first model in use was made from. */
  readonly predicted: Predicted | null;
  readonly measured: Measured | Refused | null;
  /** Rebuilt and measured once more at the end of the search; of the front alone. */
  readonly confirmed: Measured | Refused | null;
  /** Names of the budgets that its figures (the worse of both measurements, with the margin) exceed; empty where it keeps all. */
  readonly exceeded: readonly BudgetName[];
}

/** The flags of the budgets, without the dashes. */
export type BudgetName = "max-decode-ms" | "max-prefill-ms" | "max-memory" | "max-parameters";

/** A candidate that was measured, or that stands on the predicted front. */
export interface Point {
  readonly candidate: Candidate;
  readonly parameters: number;
  /** Those that a token's pass reads: without the experts that it does not go through. */
  readonly activeParameters: number;
  /** Higher is better; null where the user's command gave none. */
  readonly quality: number | null;
  readonly qualitySource: QualitySource;
  /** Why the user's command gave no quality. */
  readonly qualityFault: string | null;
  readonly sites: BySite<SitePoint>;
  /** `lfmc compile …` for each site, from the folder of the results. */
  readonly commands: BySite<string>;
}

/** What a cost model is made of, and how far it was off. */
export interface ModelReport {
  readonly figure: Figure;
  /** Milliseconds for each unit of a feature; those of no weight are left out. */
  readonly weights: Readonly<Record<string, number>>;
  /** |predicted - measured| / measured of the candidates that it had not seen, in the order in which they were measured. */
  readonly unseenErrors: readonly number[];
  /** Their median; null where there are none. */
  readonly medianError: number | null;
}

/** `results.json`. The same seed and the same measurements give the same bytes. */
export interface Results {
  readonly format: "lfmc-explore";
  readonly version: 1;
  readonly lfmc: string;
  /** The command without its output folder and --replay, to show. */
  readonly command: string;
  readonly seed: number;
  readonly budgets: Budgets;
  readonly work: Work;
  readonly sites: readonly Site[];
  /** The lists that genes were chosen from. */
  readonly space: Readonly<Record<string, readonly (number | string)[]>>;
  /** The config that candidates take their vocabulary and constants from. */
  readonly base: BaseConfig;
  /** The command of --evaluate. */
  readonly evaluate: string | null;
  /** Candidates that the cost model looked at. */
  readonly screened: number;
  /** Batches that were measured. */
  readonly rounds: number;
  /** What ended the search: enough measurements, the time, or a space of which nothing was left to measure. */
  readonly endedBy: "measurements" | "time" | "space";
  /** In the order in which they were measured. */
  readonly points: readonly Point[];
  /** By site: ids of the points that keep all budgets and that no other of them beats, best quality first. */
  readonly fronts: BySite<readonly string[]>;
  /** By site: points of the final model's front that were not built. Their sites have a prediction alone. */
  readonly predictedFronts: BySite<readonly Point[]>;
  /** By site: one for decoding, one for prefill. */
  readonly models: BySite<readonly ModelReport[]>;
  /** Legal candidates that the search met and the compiler would not build, and why; at most 20. */
  readonly refusals: readonly { readonly candidate: Candidate; readonly why: string }[];
}
