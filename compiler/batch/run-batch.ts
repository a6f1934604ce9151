/** A batch from its files to its output, whatever the engine: begun, or gone on with. */
import { cleanedUp } from "../artefact/interruption.ts";
import { LfmcError } from "../errors.ts";
import type { Manifest, Tokenizer } from "../../runtime/index.ts";
import type { BatchSettings, OpenEngine } from "./engine.ts";
import { runFront, type FrontParts } from "./front.ts";
import { openInput, type BatchInput } from "./input.ts";
import { jobOf } from "./job.ts";
import { Journal, tallied, emptyTally, type Tally } from "./journal.ts";
import { readModelText } from "./model-text.ts";
import { openOutput, type Output } from "./output.ts";
import { prepare } from "./prepare.ts";

/** What a batch is of. */
export interface BatchOptions {
  /** Of lfmc. */
  readonly version: string;
  /** The artefact. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** Source of a chat template in place of the model's. */
  readonly template: string | undefined;
  readonly input: string;
  readonly output: string;
  readonly overwrite: boolean;
  readonly settings: BatchSettings;
  /** Of lines that do not say it. */
  readonly maxTokens: number;
  /** Of line 0. */
  readonly seed: number;
  readonly openEngine: () => Promise<OpenEngine>;
  readonly watch: BatchWatch;
}

/** Hears how the batch goes. */
export interface BatchWatch {
  /** The engine is ready; so many of `total` lines were there before. */
  readonly begin: (total: number, resumed: number) => void;
  /** Lines that are there, and tokens that this process generated. */
  readonly progress: (lines: number, tokens: number) => void;
  /** A signal ends the process; so many of `total` lines are kept. */
  readonly interrupted: (lines: number, total: number) => void;
}

export interface BatchSummary {
  /** Sums over the whole output. */
  readonly total: Tally;
  /** Lines that were there before. */
  readonly resumed: number;
  /** Sums over those that were not. */
  readonly fresh: Tally;
  /** That these took, once the engine was ready. */
  readonly seconds: number;
}

/** Runs what is left of the batch and puts its output in place. Throws what its parts throw; the same call goes on from there then. */
export async function runBatch(options: BatchOptions): Promise<BatchSummary> {
  const { folder, manifest, settings, maxTokens, seed } = options;
  const text = await readModelText(folder, manifest, options.template);
  if (settings.stop.length > 0 && !text.tokenizer) {
    const hint = "leave it out, or compile a model that has a tokenizer.json";
    throw new LfmcError("run/input", "is a text, and the model has no tokenizer", { subject: "--stop", hint });
  }
  const input = await openInput(options.input);
  const job = jobOf({
    lfmc: options.version,
    input: { sha256: input.sha256, lines: input.lines },
    model: { hash: manifest.model.hash, context: manifest.limits.context, text: text.sha256 },
    settings: { ...settings, maxTokens, seed },
  });
  const output = await openOutput(options.output, job, options);
  try {
    const preparation = { manifest, text, maxTokens, seed, now: output.started };
    const rest = await runRest(options, input, output, (line) => prepare(line, preparation), text.tokenizer);
    await output.finish();
    const { done } = output;
    return { total: sum(done, rest.fresh), resumed: done.lines, ...rest };
  } finally {
    output.release();
  }
}

/** The lines that the journal does not have yet. A signal leaves it with all that were done. */
async function runRest(
  { openEngine, settings, watch }: BatchOptions,
  input: BatchInput,
  output: Output,
  prepareLine: FrontParts["prepare"],
  tokenizer: Tokenizer | null,
): Promise<Pick<BatchSummary, "fresh" | "seconds">> {
  const first = output.done.lines;
  if (first === input.lines) return { fresh: emptyTally, seconds: 0 };
  const journal = new Journal(output.journal);
  let fresh = emptyTally;
  let written = first;
  const stop = (): void => {
    journal.close();
    output.release();
    watch.interrupted(written, input.lines);
  };
  return await cleanedUp(stop, async () => {
    const engine = await openEngine();
    try {
      const begin = performance.now();
      watch.begin(input.lines, first);
      const write = (line: string): void => {
        journal.append(line);
        written++;
      };
      const onRecord: FrontParts["onRecord"] = (record) => {
        fresh = tallied(fresh, record);
        watch.progress(first + fresh.lines, fresh.tokens);
      };
      await runFront({ lines: input.prompts(first), first, prepare: prepareLine, engine, settings, tokenizer, write, onRecord });
      return { fresh, seconds: (performance.now() - begin) / 1000 };
    } finally {
      await engine.close();
    }
  }).finally(() => {
    journal.close();
  });
}

function sum(a: Tally, b: Tally): Tally {
  return {
    lines: a.lines + b.lines,
    errors: a.errors + b.errors,
    promptTokens: a.promptTokens + b.promptTokens,
    tokens: a.tokens + b.tokens,
  };
}
