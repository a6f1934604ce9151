/** `lfmc run` by an artefact's executable: text to ids and back happens here, and the likeliest token is all that it can take. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createTokenizer, type Manifest, type Tokenizer } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import { generateExecutable, type ExecutableFlags, type GuessFlags } from "../native/executable.ts";

export interface GreedyFlags extends ExecutableFlags, GuessFlags {
  readonly maxTokens: number;
  readonly ignoreEos?: boolean;
  readonly temperature?: number;
  readonly repetitionPenalty?: number;
  readonly stop?: readonly string[];
  readonly logprobs?: number;
  readonly maxSeconds?: number;
  readonly schema?: unknown;
}

/** The record that `lfmc run --json` prints. Throws usage/flag for what only the library can do. */
export async function greedyRecord(
  folder: string,
  manifest: Manifest,
  prompt: string | readonly number[],
  flags: GreedyFlags,
): Promise<Readonly<Record<string, unknown>> & { readonly text: string }> {
  const { temperature = manifest.sampling.temperature, repetitionPenalty = manifest.sampling.repetitionPenalty, stop = [] } = flags;
  const isGreedy = temperature === 0 && repetitionPenalty === 1 && stop.length === 0;
  if (!isGreedy || [flags.logprobs, flags.maxSeconds, flags.schema].some((wish) => wish !== undefined)) {
    throw new LfmcError(
      "usage/flag",
      "takes the likeliest token alone, without penalty, stop text, log-probabilities, time limit or schema",
      {
        subject: "the artefact's executable",
        hint: "give --temperature 0 --repetition-penalty 1 and no --stop, --logprobs, --max-seconds or --json-schema, or run it where its library can be loaded",
      },
    );
  }
  const tokenizer = await readTokenizer(folder, manifest);
  const ids = typeof prompt === "string" ? encode(tokenizer, prompt, manifest) : prompt;
  const { maxTokens, ignoreEos = false, decode, window, threads, variant } = flags;
  const { tokens, record } = await generateExecutable(folder, manifest, {
    prompt: ids,
    maxTokens,
    ignoreEos,
    decode,
    window,
    threads,
    variant,
  });
  return { ...record, text: tokenizer?.decode(tokens) ?? "" };
}

function encode(tokenizer: Tokenizer | null, prompt: string, { name }: Manifest): readonly number[] {
  if (tokenizer) return tokenizer.encode(prompt);
  throw new LfmcError("run/input", "has no tokenizer, and a text needs one", { subject: name, hint: "give token ids: --tokens 1,2,3" });
}

async function readTokenizer(folder: string, { files, tokens }: Manifest): Promise<Tokenizer | null> {
  if (files.tokenizer === null) return null;
  const config = files.tokenizerConfig === null ? {} : await readJson(join(folder, files.tokenizerConfig));
  return createTokenizer(await readJson(join(folder, files.tokenizer)), config, tokens.bos);
}

async function readJson(path: string): Promise<unknown> {
  const parsed = parseJson(await readFile(path));
  if ("value" in parsed) return parsed.value;
  throw new LfmcError("artefact/invalid", parsed.fault, { subject: path, hint: "copy or compile the artefact again" });
}
