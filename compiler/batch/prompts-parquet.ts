/**
 * Prompts from a Parquet table, which a worker reads: so that a forward call does not wait for a row group, and so that a damaged table cannot keep
 * the process busy for ever.
 */
import { stat } from "node:fs/promises";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { internal, LfmcError, type ErrorCode } from "../errors.ts";
import type { PromptLine } from "./prompt-line.ts";

/** What the worker is started with. */
export interface TableQuestion {
  readonly path: string;
  /** Of the rows that are wanted. */
  readonly first: number;
}

/** What it answers: the number of rows, then rows, some at a time. */
export interface TableAnswer {
  readonly items: (number | PromptLine)[];
  readonly isLast: boolean;
  readonly error?: { readonly code: ErrorCode; readonly fact: string; readonly hint: string };
}

/** The worker's own script: TypeScript where this file is run from source, JavaScript where it was built. */
const script = new URL(`./parquet-worker${extname(import.meta.url)}`, import.meta.url);

/** An answer comes within so many milliseconds, and one more for so many bytes of the file: the slowest codec does ten times as much. */
const patience = 30_000;
const bytesPerMillisecond = 1000;

/** How many rows the table has. Throws run/input for a file that is no Parquet table, or one without a column of prompts. */
export async function parquetRows(path: string): Promise<number> {
  for await (const item of tableItems(path, 0, patience)) return typeof item === "number" ? item : internal("rows before their number");
  return internal("a table without a number of rows");
}

/** The rows from `first` on; a null is as good as no value. Throws run/input where the file is damaged. */
export async function* parquetPrompts(path: string, first: number): AsyncGenerator<PromptLine, void, void> {
  for await (const item of tableItems(path, first, patience)) if (typeof item !== "number") yield item;
}

/** What the worker tells, each answer within `milliseconds` and what the file's size adds. Throws as `parquetPrompts` does. */
export async function* tableItems(path: string, first: number, milliseconds: number): AsyncGenerator<number | PromptLine, void, void> {
  const { size } = await stat(path);
  const worker = new Worker(script, { workerData: { path, first } satisfies TableQuestion });
  try {
    for (;;) {
      const { items, isLast, error } = await ask(worker, path, milliseconds + size / bytesPerMillisecond);
      if (error) throw new LfmcError(error.code, error.fact, { subject: path, hint: error.hint });
      yield* items;
      if (isLast) return;
    }
  } finally {
    await worker.terminate();
  }
}

async function ask(worker: Worker, path: string, milliseconds: number): Promise<TableAnswer> {
  return await new Promise<TableAnswer>((resolve, reject) => {
    const timer = setTimeout(() => {
      const hint = "is the file whole? write it again in smaller row groups, or give JSON lines";
      reject(new LfmcError("run/input", `was not read in ${Math.round(milliseconds / 1000)} s`, { subject: path, hint }));
    }, milliseconds);
    worker.once("error", reject).once("message", (answer: TableAnswer) => {
      clearTimeout(timer);
      worker.off("error", reject);
      resolve(answer);
    });
    worker.postMessage(null);
  });
}
