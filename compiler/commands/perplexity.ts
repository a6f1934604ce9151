/** `lfmc perplexity`: how well an artefact predicts a text, and how near it comes to another artefact, or to the model in f32. */
import { Command } from "commander";
import type { Model } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { artefactLogits, referenceLogits, type LogitSource } from "../evaluate/logit-source.ts";
import { score, type Score } from "../evaluate/score.ts";
import { windowPositions, windowsOf } from "../evaluate/windows.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { wholeNumber } from "./flags.ts";
import { isArtefact } from "../artefact/is-artefact.ts";
import { openArtefact } from "./open-artefact.ts";
import { readText } from "../import/text-file.ts";
import { print, progress, progressBar } from "./report.ts";

interface Flags extends ExecutionFlags {
  readonly text: string;
  readonly against?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

export function perplexityCommand(): Command {
  const command = new Command("perplexity")
    .description("measure how well a model predicts a text, and how near it comes to another")
    .argument("<artefact>", "folder written by lfmc compile")
    .requiredOption("--text <file>", `UTF-8 text; read in windows of at most ${windowPositions} tokens, each from an empty session`)
    .option("--against <artefact|model>", "also compare the predictions: with an artefact's, or a model's as it is, interpreted in f32")
    .option("--limit <n>", "score the text's first n tokens only", wholeNumber(1))
    .option("--json", "print the record as JSON");
  return addExecutionFlags(command).action(perplexity);
}

async function perplexity(path: string, { text, against, limit, json, threads, variant }: Flags): Promise<void> {
  const content = await readText(text, "give a text file");
  const model = await openArtefact(path, { threads, variant });
  const reference = against === undefined ? null : await openReference(against, threads);
  try {
    const artefact = artefactLogits(model);
    const windows = windowsFor(encode(model, content), limit, [artefact, ...(reference ? [reference.source] : [])], text);
    const total = windows.reduce((sum, { length }) => sum + length - 1, 0);
    const result = score(windows, artefact, reference?.source ?? null, (done) => {
      if (done % 64 === 0) progressBar("scoring", done, total);
    });
    progress(null);
    print(json ? JSON.stringify(result) : describe(result));
  } finally {
    await reference?.close();
    await model.dispose();
  }
}

interface Reference {
  readonly source: LogitSource;
  close(): Promise<void>;
}

/** An artefact runs in as many threads as the one that is measured; its variant is its own affair. */
async function openReference(path: string, threads: number | undefined): Promise<Reference> {
  if (!(await isArtefact(path))) return { source: await referenceLogits(path), close: () => Promise.resolve() };
  const model = await openArtefact(path, { threads });
  return { source: artefactLogits(model), close: () => model.dispose() };
}

interface Encoded {
  readonly tokens: readonly number[];
  /** What a prompt begins with, if anything; not among the tokens. */
  readonly bos: number | null;
}

function encode({ manifest, tokenizer }: Model, text: string): Encoded {
  if (!tokenizer) {
    throw new LfmcError("run/input", "has no tokenizer, and a text needs one", {
      subject: manifest.name,
      hint: "compile a model's folder that holds tokenizer.json",
    });
  }
  const [first, ...rest] = tokenizer.encode(text);
  const { bos } = manifest.tokens;
  if (first === undefined) return { tokens: [], bos };
  return first === bos ? { tokens: rest, bos } : { tokens: [first, ...rest], bos: null };
}

/** The windows that fit all of `sources`. Throws run/context where that is none, run/input where the text has nothing to predict. */
function windowsFor(
  { tokens, bos }: Encoded,
  limit: number | undefined,
  sources: readonly LogitSource[],
  file: string,
): readonly (readonly number[])[] {
  const positions = Math.min(windowPositions, ...sources.map(({ context }) => context));
  if (positions < 2) {
    throw new LfmcError("run/context", "of one position leaves nothing to predict", {
      subject: "the artefact's context",
      hint: "compile with a larger --context",
    });
  }
  const windows = windowsOf(tokens.slice(0, limit), bos, positions);
  if (windows.length > 0) return windows;
  throw new LfmcError("run/input", "holds no token to predict", { subject: file, hint: "give a longer text" });
}

function describe({ tokens, perplexity, kl, top1 }: Score): string {
  const lines = [`tokens      ${tokens}`, `perplexity  ${perplexity.toFixed(3)}`];
  if (kl !== null && top1 !== null) lines.push(`KL          ${kl.toPrecision(3)} nats`, `same top    ${(100 * top1).toFixed(2)} %`);
  return lines.join("\n");
}
