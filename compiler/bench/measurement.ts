/** Measuring an artefact's model in processes of its own: what is asked of them, what they answer, and how they are started. */
import { extname } from "node:path";
import { internal } from "../errors.ts";
import { inFreshProcess } from "./fresh-process.ts";
import type { ModelSpeed, ModelWork } from "./model.ts";
import { median } from "./timing.ts";

/** Where a model is loaded from, and how. */
export interface ModelPlace {
  /** URL of the artefact's folder. */
  readonly base: string;
  /** URL of a C artefact's built library. */
  readonly library: string | null;
  /** null leaves it to the runtime. */
  readonly variant: string | null;
  readonly threads: number;
}

export interface ModelJob extends ModelPlace {
  /** What to measure after the first token. */
  readonly works: readonly ModelWork[];
  /** An existing folder: states of slots are kept there, from one job to the next. */
  readonly folder: string;
}

export interface MeasuredWork {
  readonly work: ModelWork;
  readonly speed: ModelSpeed;
  /** Peak resident set of the process until then. */
  readonly peakBytes: number;
}

interface Loaded {
  /** The variant that runs, and whether it is one of several threads. */
  readonly variant: string;
  readonly isThreaded: boolean;
  /** From the call of load to the first token after a prompt of `firstPrompt` tokens. */
  readonly firstTokenSeconds: number;
}

/** What a process tells: that the model is there, then each measured work. */
export type ModelMessage = ({ readonly kind: "loaded" } & Loaded) | ({ readonly kind: "measured" } & MeasuredWork);

/** Tokens of the prompt whose answer's first token is waited for. */
export const firstPrompt = 16;
/** Cold starts whose median counts. */
const starts = 3;

export interface Measurement extends Loaded {
  readonly measured: readonly MeasuredWork[];
}

/**
 * Measures a model in a fresh process, and its cold start in more of them; `onWork` hears of each work before it begins. Throws what `load` of
 * the runtime throws.
 */
export async function measureArtefact(job: ModelJob, onWork: (work: ModelWork) => void): Promise<Measurement> {
  const first = await runProcess(job, onWork);
  const firstTokens = [first.loaded.firstTokenSeconds];
  while (firstTokens.length < starts) firstTokens.push((await runProcess({ ...job, works: [] }, onWork)).loaded.firstTokenSeconds);
  return { ...first.loaded, firstTokenSeconds: median(firstTokens), measured: first.measured };
}

/** TypeScript where this file is run from source, JavaScript where it was built. */
const entry = new URL(`./model-process${extname(import.meta.url)}`, import.meta.url);

async function runProcess(
  job: ModelJob,
  onWork: (work: ModelWork) => void,
): Promise<{ readonly loaded: Loaded; readonly measured: readonly MeasuredWork[] }> {
  let told = 0;
  const [loaded, ...measured] = await inFreshProcess(entry, job, isMessage, {
    onMessage: () => {
      const next = job.works[told++];
      if (next) onWork(next);
    },
  });
  if (loaded?.kind !== "loaded") return internal("the measuring process has loaded nothing");
  return { loaded, measured: measured.filter((message) => message.kind === "measured") };
}

/** Only our own entry file sends messages. */
function isMessage(value: unknown): value is ModelMessage {
  return typeof value === "object" && value !== null && "kind" in value;
}
