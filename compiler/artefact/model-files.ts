/**
 * The files that travel with a model into its artefact. The tokenizer is opened once, as the runtime will, so that an artefact never holds one
 * that it could not load.
 */
import { copyFile, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { createTokenizer } from "../../runtime/tokenizer.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import type { ImportedModel, ModelFiles } from "../import/model.ts";

/** A tokenizer may have this many bytes; the releases' have under 20 million. */
const tokenizerBytesMax = 256 * 2 ** 20;

/** Copies what travels with the model; returns the names in the artefact. */
export async function copyModelFiles(files: ModelFiles, folder: string): Promise<Readonly<Record<keyof ModelFiles, string | null>>> {
  const copy = async (path: string | null): Promise<string | null> => {
    if (path === null) return null;
    await copyFile(path, join(folder, basename(path)));
    return basename(path);
  };
  return {
    tokenizer: await copy(files.tokenizer),
    tokenizerConfig: await copy(files.tokenizerConfig),
    chatTemplate: await copy(files.chatTemplate),
    generationConfig: await copy(files.generationConfig),
    license: await copy(files.license),
  };
}

/** Refuses a tokenizer that does not open or names tokens that the model has not got. Throws `config/invalid`, or the runtime's `artefact/invalid`. */
export async function checkTokenizer({ files, tokens, config }: Pick<ImportedModel, "files" | "tokens" | "config">): Promise<void> {
  const { tokenizer: path, tokenizerConfig } = files;
  if (path === null) return;
  const tokenizer = createTokenizer(await readJson(path), tokenizerConfig === null ? {} : await readJson(tokenizerConfig), tokens.bos);
  const outside = tokenizer.encode("The quick brown fox. 1234 ¿Qué? 你好").find((id) => id >= config.vocabSize);
  if (outside === undefined) return;
  throw new LfmcError("config/invalid", `gives token ${outside}, outside the model's vocabulary of ${config.vocabSize}`, {
    subject: path,
    hint: "is this the model's own tokenizer? without the file the model compiles for token ids alone",
  });
}

async function readJson(path: string): Promise<unknown> {
  const hint = "fetch the file again; without it the model compiles for token ids alone";
  const { size } = await stat(path);
  if (size > tokenizerBytesMax)
    throw new LfmcError("config/invalid", `has ${size} bytes; at most ${tokenizerBytesMax} are read`, { subject: path, hint });
  const parsed = parseJson(await readFile(path));
  if ("value" in parsed) return parsed.value;
  throw new LfmcError("config/invalid", parsed.fault, { subject: path, hint });
}
