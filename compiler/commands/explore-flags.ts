/** What `lfmc explore` is asked for, and the same as a command line of no more than what counts. */
import { Command, InvalidArgumentError } from "commander";
import { LfmcError } from "../errors.ts";
import { quantNames, type Budgets, type QuantName, type Results, type Work } from "../explore/types.ts";
import { targetNames, type TargetName } from "../targets.ts";
import { byteCount, decimal, wholeNumber, wordList } from "./flags.ts";

/** The flags as commander has them. */
export interface ExploreFlags {
  readonly output?: string;
  readonly maxDecodeMs?: number;
  readonly maxPrefillMs?: number;
  readonly maxMemory?: number;
  readonly maxParameters?: number;
  readonly margin: number;
  readonly context: number;
  readonly prompt: number;
  readonly threads: number;
  readonly targets?: readonly TargetName[];
  readonly quant?: readonly QuantName[];
  readonly vocab?: number;
  readonly space?: string;
  readonly seed: number;
  readonly measure: number;
  readonly maxMinutes: number;
  readonly evaluate?: string;
  readonly evaluateSeconds: number;
  readonly replay?: string;
  readonly again?: string;
  readonly json?: boolean;
}

/** The command with its flags and no action. */
export function exploreFlags(): Command {
  return new Command("explore")
    .description("search for architectures under budgets of time and memory, which are measured on this machine")
    .argument("[base]", "config.json that gives vocabulary and constants (default: those of LFM2-350M)")
    .option("-o, --output <folder>", "folder for results.json, report.html and configs/; an earlier search's is replaced")
    .option("--max-decode-ms <n>", "most milliseconds of a token at the end of the context", decimal(1e-6))
    .option("--max-prefill-ms <n>", "most milliseconds of reading the prompt", decimal(1e-6))
    .option("--max-memory <bytes>", "most bytes of memory, weights and scratch: 60MB", byteCount)
    .option("--max-parameters <n>", "most weights: 10M", parameterCount)
    .option("--margin <share>", "share by which measured times must stay below their budgets", decimal(0, 10), 0.1)
    .option("--context <n>", "positions of a session", wholeNumber(1, 2 ** 20), 4096)
    .option("--prompt <n>", "tokens of the prompt, at most the context", wholeNumber(1, 2 ** 20), 512)
    .option("--threads <n>", "threads to run on", wholeNumber(1, 1024), 1)
    .option(
      "--targets <list>",
      `where to measure, of ${targetNames.join(", ")} (default: wasm-simd and this machine's C)`,
      wordList(targetNames),
    )
    .option("--quant <list>", "formats of weights to choose from", wordList(quantNames))
    .option("--vocab <n>", "tokens of the vocabulary (default: the base's)", wholeNumber(1, 2 ** 22))
    .option("--space <file>", 'JSON with other lists for some genes: {"width": [256, 320], …}')
    .option("--seed <n>", "of everything that is drawn", wholeNumber(), 0)
    .option("--measure <n>", "candidates to build and measure at most", wholeNumber(1, 10000), 40)
    .option("--max-minutes <n>", "minutes after which the search ends, the front's second measurements included", decimal(0), 10)
    .option("--evaluate <command>", "shell command that reads a config on stdin (its path is in LFMC_CONFIG) and prints its quality last")
    .option("--evaluate-seconds <n>", "seconds after which that command is ended", decimal(0.001, 1e6), 60)
    .option("--replay <path>", "take all measurements from an earlier search's results.json: the same request gives the same bytes")
    .option("--again <path>", "build and measure the fronts of an earlier search once more; exit 1 where a budget breaks")
    .option("--json", "print the results as JSON");
}

const multiples: Readonly<Record<string, number>> = { "": 1, K: 1e3, M: 1e6, G: 1e9, B: 1e9 };

/** Weights: `10M`, `1.2B`, or a plain number. */
function parameterCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgb]?)$/i.exec(text);
  const count = Math.floor(Number(match?.[1]) * (multiples[(match?.[2] ?? "?").toUpperCase()] ?? NaN));
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError("expected a number of weights: 10M, 1.2B or a plain number.");
}

/** The budgets. Throws usage/flag where there is none. */
export function budgetsOf({ maxDecodeMs, maxPrefillMs, maxMemory, maxParameters, margin }: ExploreFlags): Budgets {
  const budgets = {
    decodeMs: maxDecodeMs ?? null,
    prefillMs: maxPrefillMs ?? null,
    memoryBytes: maxMemory ?? null,
    parameters: maxParameters ?? null,
    margin,
  };
  if ([maxDecodeMs, maxPrefillMs, maxMemory, maxParameters].some((budget) => budget !== undefined)) return budgets;
  throw new LfmcError("usage/flag", "give at least one of them", {
    subject: "--max-decode-ms, --max-prefill-ms, --max-memory, --max-parameters",
    hint: "lfmc explore -o DIR --max-decode-ms 3 --max-memory 60MB",
  });
}

/** What every candidate does. Throws usage/flag where the prompt does not fit. */
export function workOf({ context, prompt, threads }: ExploreFlags, promptIsGiven: boolean): Work {
  if (prompt <= context) return { context, prompt, threads };
  if (!promptIsGiven) return { context, prompt: context, threads };
  throw new LfmcError("usage/flag", `${prompt} tokens are more than the context of ${context}`, {
    subject: "--prompt",
    hint: "lower it, or raise --context",
  });
}

/** The command that asks for the same search, for its results to show. */
export function commandText(
  base: string | undefined,
  flags: ExploreFlags,
  { work, targets }: { work: Work; targets: readonly TargetName[] },
): Results["command"] {
  const words: readonly (readonly [string, number | string | undefined])[] = [
    ["max-decode-ms", flags.maxDecodeMs],
    ["max-prefill-ms", flags.maxPrefillMs],
    ["max-memory", flags.maxMemory],
    ["max-parameters", flags.maxParameters],
    ["margin", flags.margin],
    ["context", work.context],
    ["prompt", work.prompt],
    ["threads", work.threads],
    ["targets", targets.join(",")],
    ["quant", flags.quant?.join(",")],
    ["vocab", flags.vocab],
    ["space", flags.space],
    ["seed", flags.seed],
    ["measure", flags.measure],
    ["max-minutes", flags.maxMinutes],
    ["evaluate", flags.evaluate],
  ];
  const given = words.flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${shellWord(String(value))}`]));
  return ["lfmc explore", ...(base === undefined ? [] : [shellWord(base)]), ...given].join(" ");
}

/** A word as a shell reads it back. */
function shellWord(word: string): string {
  return /^[\w./,:=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
