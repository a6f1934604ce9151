/** `lfmc run`: generates text from an artefact. */
import { resolve } from "node:path";
import { Command, Option } from "commander";
import type { Decode, GenerationResult, Model, Part, TokenLogprob } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { decimal, numberList, wholeNumber } from "./flags.ts";
import { usesExecutable } from "../native/executable.ts";
import { artefactManifest, openArtefact, verifyFiles } from "./open-artefact.ts";
import { print } from "./report.ts";
import { greedyRecord } from "./run-executable.ts";

interface Flags extends ExecutionFlags {
  readonly prompt?: string;
  readonly tokens?: readonly number[];
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly decode: Decode;
  readonly window?: number;
  readonly maxSeconds?: number;
  readonly logprobs?: number;
  readonly prefillChunk?: number;
  readonly json?: boolean;
}

export function runCommand(): Command {
  const command = new Command("run")
    .description("generate text")
    .argument("<artefact>", "folder written by lfmc compile")
    .option("--prompt <text>", "text to continue")
    .option("--tokens <ids>", "token ids to continue, as they are: 1,2,3", numberList)
    .option("--max-tokens <n>", "most tokens to generate", wholeNumber(), 128)
    .option("--temperature <t>", "0 takes the likeliest token (default: the model's)", decimal(0))
    .option("--top-k <k>", "sample among the k likeliest; 0 is off", wholeNumber())
    .option("--top-p <p>", "sample among the likeliest that make up p", decimal(0, 1))
    .option("--min-p <p>", "sample among tokens at least p times as likely as the likeliest", decimal(0, 1))
    .option("--repetition-penalty <r>", "make tokens that occurred less likely; 1 is off", decimal(0.01))
    .option("--seed <s>", "seed of the sampling", wholeNumber())
    .option("--stop <text>", "end before this text (repeatable)", (text: string, all: readonly string[]) => [...all, text], [])
    .option("--ignore-eos", "go on after an end token")
    .addOption(new Option("--decode <method>", "how tokens are found").choices(["greedy", "jacobi", "lookup"]).default("greedy"))
    .option("--window <n>", "most tokens a forward pass where they are guessed (default: 16)", wholeNumber(1))
    .option("--max-seconds <s>", "end after so much time", decimal(0))
    .option("--logprobs <n>", "with --json: how likely each token was, and n alternatives", wholeNumber())
    .option("--prefill-chunk <n>", "rows a forward call while reading the prompt", wholeNumber(1))
    .option("--json", "print the result as JSON");
  return addExecutionFlags(command).action(run);
}

async function run(artefact: string, { threads, variant, json, prompt, tokens, ...options }: Flags): Promise<void> {
  if ((prompt === undefined) === (tokens === undefined)) {
    throw new LfmcError("usage/argument", "give one of them", { subject: "--prompt, --tokens", hint: "--prompt TEXT, or --tokens 1,2,3" });
  }
  const input = tokens ?? prompt ?? "";
  const manifest = await artefactManifest(artefact);
  if (usesExecutable(manifest)) {
    await verifyFiles(artefact, manifest);
    const record = await greedyRecord(resolve(artefact), manifest, input, { ...options, threads, variant });
    print(json ? JSON.stringify(record) : record.text);
    return;
  }
  const model = await openArtefact(artefact, { variant, threads });
  try {
    const parts = model.createSession().generate(input, options);
    if (json) print(JSON.stringify(await collect(model, parts)));
    else await stream(parts);
  } finally {
    await model.dispose();
  }
}

async function stream(parts: AsyncGenerator<Part, GenerationResult, void>): Promise<void> {
  for await (const { text } of parts) process.stdout.write(text);
  process.stdout.write("\n");
}

/** The record that `--json` prints. */
async function collect(model: Model, parts: AsyncGenerator<Part, GenerationResult, void>): Promise<unknown> {
  const ids: number[] = [];
  const logprobs: TokenLogprob[] = [];
  let text = "";
  for (;;) {
    const next = await parts.next();
    if (next.done) {
      const { stopReason, seed, stats } = next.value;
      const { promptTokens, firstTokenSeconds, prefillTokensPerSecond, decodeTokensPerSecond, forwardPasses } = stats;
      return {
        text,
        tokens: ids,
        promptTokens,
        stopReason,
        seed,
        ...(logprobs.length > 0 && { logprobs }),
        stats: { loadSeconds: model.loadSeconds, firstTokenSeconds, prefillTokensPerSecond, decodeTokensPerSecond, forwardPasses },
      };
    }
    ids.push(next.value.token);
    if (next.value.logprob) logprobs.push(next.value.logprob);
    text += next.value.text;
  }
}
