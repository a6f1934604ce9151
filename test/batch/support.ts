/** Batches for tests, in this process: of a model that is a script, on files that a test writes. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BatchEngine, BatchSettings } from "../../compiler/batch/engine.ts";
import { localEngine } from "../../compiler/batch/local-engine.ts";
import { runBatch, type BatchOptions, type BatchSummary } from "../../compiler/batch/run-batch.ts";
import { fakeManifest, fakeModel } from "../runtime/support.ts";

export const greedy: BatchSettings = {
  ...{ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  ...{ ignoreEos: false, stop: [] },
};

const shape = { vocabSize: 64, context: 24, eos: [2] };

/** The sessions of a model whose logits are a hash of what came before. */
export function fakeLocalEngine(sessions = 3): BatchEngine {
  return localEngine(fakeModel({ ...shape, sessions }).model);
}

export interface BatchFiles {
  readonly input: string;
  readonly output: string;
}

/** A file of prompts, and a place for the output beside it. */
export async function batchFiles(folder: string, name: string, lines: readonly unknown[]): Promise<BatchFiles> {
  const input = join(folder, `${name}.in.jsonl`);
  await writeFile(input, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return { input, output: join(folder, `${name}.out.jsonl`) };
}

/** Runs a batch to its end, or to what it throws. */
export async function batch(
  files: BatchFiles,
  options: Partial<BatchOptions> & { readonly engine?: BatchEngine } = {},
): Promise<BatchSummary> {
  const { engine = fakeLocalEngine(), ...others } = options;
  return await runBatch({
    ...{ version: "1.0.0", folder: ".", manifest: fakeManifest(shape), template: undefined, overwrite: false, settings: greedy },
    ...{ maxTokens: 6, seed: 0, watch: { begin: () => undefined, progress: () => undefined, interrupted: () => undefined } },
    openEngine: () => Promise.resolve({ run: engine, ahead: 8, close: () => Promise.resolve() }),
    ...files,
    ...others,
  });
}

/** The lines of a file, each of which has its end. */
export async function linesIn(path: string): Promise<readonly string[]> {
  const text = await readFile(path, "utf8");
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end");
  return text.split("\n").slice(0, -1);
}
