/** What the study finds, as `figures.json` keeps it: the page and its plots are made of nothing else. */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import type { TokenCost } from "../../../compiler/bench/token-cost.ts";
import { LfmcError } from "../../../compiler/errors.ts";
import type { DepthFigure } from "./depth-job.ts";
import type { Kind } from "./study.ts";

/** What a model takes when it is compiled for a context of `depth` positions; 4-bit weights, one session. */
export interface DepthPlan {
  readonly depth: number;
  /** A session's state with a cache in f16. */
  readonly sessionBytes: number;
  /** The same with a cache in 8 bits. */
  readonly narrowSessionBytes: number;
  /** Weights, the session in f16, logits and scratch of a call in one thread. */
  readonly totalBytes: number;
}

/** One measured artefact. */
export interface MeasuredModel {
  readonly target: "c-x86" | "wasm-simd";
  readonly variant: string;
  readonly threads: number;
  readonly engine: string;
  readonly cpu: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  /** Positions that it was compiled for. */
  readonly context: number;
  /** Its plan: weights, memory and the scratch of its threads. */
  readonly planBytes: number;
  /** Largest resident set of its process. */
  readonly peakBytes: number;
  /** Those of the study's depths at which decoding was measured undisturbed. */
  readonly points: readonly DepthFigure[];
}

export interface ModelFigures {
  readonly parameters: number;
  readonly layers: number;
  readonly attentionLayers: number;
  /** Of a dense layer. */
  readonly feedForwardSize: number;
  readonly cost: TokenCost;
  /** One for each of the study's depths. */
  readonly plans: readonly DepthPlan[];
  readonly measured: readonly MeasuredModel[];
}

export interface ShapeFigures {
  /** The releases of this shape. */
  readonly names: readonly string[];
  readonly models: Readonly<Record<Kind, ModelFigures>>;
}

/** Decoding after a prompt that was read, and after one that was made up, alternately measured. */
export interface Check {
  readonly shape: string;
  readonly context: number;
  readonly planBytes: number;
  readonly peakBytes: number;
  readonly readSeconds: readonly number[];
  readonly madeUpSeconds: readonly number[];
}

export interface Figures {
  readonly shapes: readonly ShapeFigures[];
  readonly check: Check | null;
}

export const pageFolder = fileURLToPath(new URL(".", import.meta.url));
const path = `${pageFolder}figures.json`;

/** The figures so far: none where there is no file. */
export async function readFigures(): Promise<Figures> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return { shapes: [], check: null };
  const figures: unknown = JSON.parse(text);
  if (isFigures(figures)) return figures;
  throw new LfmcError("config/invalid", "does not hold figures of the study", { subject: path, hint: "delete it and measure again" });
}

export async function writeFigures(figures: Figures): Promise<void> {
  await writeFile(path, await format(JSON.stringify(figures), { parser: "json", printWidth: 140 }));
}

/** Only `writeFigures` writes the file. */
function isFigures(value: unknown): value is Figures {
  return typeof value === "object" && value !== null && "shapes" in value && "check" in value;
}
