/** `lfmc run`: generates text from an artefact. */
import { resolve } from "node:path";
import { Command } from "commander";
import { jsonSchema } from "../../runtime/json-schema/index.ts";
import type { GenerationResult, Model, Part, TokenLogprob } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { readJson } from "../import/json-file.ts";
import { addExecutionFlags, type ExecutionFlags } from "./execution-flags.ts";
import { numberList, wholeNumber } from "./flags.ts";
import { usesExecutable } from "../native/executable.ts";
import { artefactManifest, openArtefact, verifyFiles } from "./open-artefact.ts";
import { print } from "./report.ts";
import { greedyRecord } from "./run-executable.ts";
import { addSamplingFlags, type SamplingFlags } from "./sampling-flags.ts";

interface Flags extends ExecutionFlags, SamplingFlags {
  readonly prompt?: string;
  readonly tokens?: readonly number[];
  readonly maxTokens: number;
  readonly ignoreEos?: boolean;
  readonly logprobs?: number;
  readonly jsonSchema?: string;
  readonly json?: boolean;
}

export function runCommand(): Command {
  const command = new Command("run")
    .description("generate text")
    .argument("<artefact>", "folder written by lfmc compile")
    .option("--prompt <text>", "text to continue")
    .option("--tokens <ids>", "token ids to continue, as they are: 1,2,3", numberList)
    .option("--max-tokens <n>", "most tokens to generate", wholeNumber(), 128);
  addSamplingFlags(command)
    .option("--ignore-eos", "go on after an end token")
    .option("--logprobs <n>", "with --json: how likely each token was, and n alternatives", wholeNumber())
    .option("--json-schema <file>", "hold the text to a JSON schema")
    .option("--json", "print the result as JSON");
  return addExecutionFlags(command).action(run);
}

async function run(artefact: string, { threads, variant, json, prompt, tokens, jsonSchema: schemaFile, ...options }: Flags): Promise<void> {
  if ((prompt === undefined) === (tokens === undefined)) {
    throw new LfmcError("usage/argument", "give one of them", { subject: "--prompt, --tokens", hint: "--prompt TEXT, or --tokens 1,2,3" });
  }
  if (options.logprobs !== undefined && !json)
    throw new LfmcError("usage/flag", "is told in JSON alone", { subject: "--logprobs", hint: "add --json" });
  const input = tokens ?? prompt ?? "";
  const schema = schemaFile === undefined ? undefined : await readJson(schemaFile);
  const manifest = await artefactManifest(artefact);
  if (usesExecutable(manifest)) {
    await verifyFiles(artefact, manifest);
    const record = await greedyRecord(resolve(artefact), manifest, input, { ...options, schema, threads, variant });
    print(json ? JSON.stringify(record) : record.text);
    return;
  }
  const model = await openArtefact(artefact, { variant, threads });
  try {
    const constrain = schema === undefined ? undefined : jsonSchema(model, schema);
    const parts = model.createSession().generate(input, { ...options, constrain });
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
