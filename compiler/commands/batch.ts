/** `lfmc batch`: a file of prompts becomes a file of completions. It goes on after a kill, and its bytes depend on nothing but input, model and flags. */
import { Command, Option } from "commander";
import { packageVersion } from "../artefact/manifest.ts";
import type { BatchSettings } from "../batch/engine.ts";
import { engines, type EngineName } from "../batch/engines.ts";
import { BatchProgress, grouped } from "../batch/progress.ts";
import { runBatch, type BatchSummary, type BatchWatch } from "../batch/run-batch.ts";
import { LfmcError } from "../errors.ts";
import { readText } from "../import/text-file.ts";
import type { SamplingDefaults } from "../../runtime/index.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { wholeNumber } from "./flags.ts";
import { artefactManifest } from "./open-artefact.ts";
import { print, progress, warn } from "./report.ts";
import { addChoiceFlags, type ChoiceFlags } from "./sampling-flags.ts";

interface Flags extends ExecutionFlags, ChoiceFlags {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly engine: EngineName;
  readonly address?: string;
  readonly workers?: number;
  readonly maxTokens: number;
  readonly ignoreEos?: boolean;
  readonly template?: string;
  readonly json?: boolean;
}

export function batchCommand(): Command {
  const command = new Command("batch")
    .description("generate for every line of a file; the same command goes on after a kill")
    .argument("<artefact>", "folder written by lfmc compile; its --sessions is how many lines share a forward call")
    .argument("<prompts>", "JSON lines or a Parquet table with prompt, tokens or messages, and id, seed, maxTokens")
    .requiredOption("-o, --output <file>", "a line for each line, in order: JSON lines, or a table where it ends in .parquet")
    .option("--overwrite", "replace the output once the new one is whole")
    .addOption(new Option("--engine <name>", "what generates").choices(Object.keys(engines)).default("local"))
    .option("--address <address>", "of a Ray cluster (default: one on this machine)")
    .option("--workers <n>", "processes that generate, on a Ray cluster", wholeNumber(1))
    .option("--max-tokens <n>", "most tokens to generate for a line that does not say it", wholeNumber(), 128);
  addChoiceFlags(command)
    .option("--ignore-eos", "go on after an end token")
    .option("--template <file>", "Jinja chat template, in place of the model's")
    .option("--json", "print a summary as JSON");
  return addExecutionFlags(command).action(run);
}

async function run(artefact: string, prompts: string, flags: Flags): Promise<void> {
  const { engine, threads, variant, address, workers, maxTokens, seed = 0, json = false } = flags;
  if (engine === "local" && (address !== undefined || workers !== undefined)) {
    const subject = address === undefined ? "--workers" : "--address";
    throw new LfmcError("usage/flag", "is of a Ray cluster", { subject, hint: "add --engine ray" });
  }
  const template = flags.template === undefined ? undefined : await readText(flags.template, "give a Jinja chat template");
  const manifest = await artefactManifest(artefact);
  const watch = new Watch();
  const summary = await runBatch({
    ...{ version: packageVersion, folder: artefact, manifest, template, maxTokens, seed },
    ...{ input: prompts, output: flags.output, overwrite: flags.overwrite ?? false },
    settings: settingsOf(flags, manifest.sampling),
    openEngine: async () => await (await engines[engine]())({ folder: artefact, manifest, threads, variant, address, workers, note: tell }),
    watch,
  }).finally(() => {
    watch.end();
  });
  const { errors, lines } = summary.total;
  if (json) print(JSON.stringify(recordOf(summary)));
  else tell(describe(summary));
  if (errors === 0) return;
  warn([`${grouped(errors)} of ${grouped(lines)} lines have an error in place of a completion`]);
  process.exitCode = 1;
}

/** What is not given is the model's own. */
function settingsOf(flags: Flags, sampling: SamplingDefaults): BatchSettings {
  return {
    temperature: flags.temperature ?? sampling.temperature,
    topK: flags.topK ?? sampling.topK,
    topP: flags.topP ?? sampling.topP,
    minP: flags.minP ?? sampling.minP,
    repetitionPenalty: flags.repetitionPenalty ?? sampling.repetitionPenalty,
    ignoreEos: flags.ignoreEos ?? false,
    stop: flags.stop ?? [],
  };
}

/** On a terminal one line that is redrawn, elsewhere a line now and then. */
class Watch implements BatchWatch {
  #timer: NodeJS.Timeout | undefined;
  #lines = 0;
  #tokens = 0;

  readonly begin = (total: number, resumed: number): void => {
    if (resumed > 0) tell(`going on after ${grouped(resumed)} of ${grouped(total)} lines`);
    this.#lines = resumed;
    const meter = new BatchProgress(total, resumed);
    const [show, milliseconds] = process.stderr.isTTY ? ([progress, 250] as const) : ([tell, 10_000] as const);
    this.#timer = setInterval(() => {
      show(meter.line(this.#lines, this.#tokens));
    }, milliseconds);
  };

  readonly progress = (lines: number, tokens: number): void => {
    this.#lines = lines;
    this.#tokens = tokens;
  };

  readonly interrupted = (lines: number, total: number): void => {
    this.end();
    tell(`stopped after ${grouped(lines)} of ${grouped(total)} lines: the same command goes on from there`);
  };

  end(): void {
    clearInterval(this.#timer);
    progress(null);
  }
}

function recordOf({ total, resumed, fresh, seconds }: BatchSummary): object {
  return { ...total, resumed, seconds, tokensPerSecond: rateOf(fresh.tokens, seconds) };
}

function describe({ total, resumed, fresh, seconds }: BatchSummary): string {
  const before = resumed === 0 ? "" : `, ${grouped(resumed)} of them earlier`;
  const rate =
    fresh.tokens === 0
      ? ""
      : `: ${grouped(fresh.tokens)} tokens in ${seconds.toFixed(1)} s, ${grouped(Math.round(rateOf(fresh.tokens, seconds)))} a second`;
  return `${grouped(total.lines)} lines${before}${rate}`;
}

function rateOf(tokens: number, seconds: number): number {
  return seconds > 0 ? tokens / seconds : 0;
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}
