/**
 * The files that travel with a model into its artefact. The tokenizer is opened once, as the runtime will, so that an artefact never
 * holds one that it could not load.
 */
import { copyFile, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { checkTemplate, withToolTemplate } from "../../runtime/chat/template.ts";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { createTokenizer } from "../../runtime/tokenizer.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";
import type { ImportedModel, ModelFiles } from "../import/model.ts";
import { isRecord } from "../import/schema-error.ts";

/** A tokenizer may have this many bytes; the releases' have under 20 million. */
const tokenizerBytesMax = 256 * 2 ** 20;
const templateName = "chat_template.jinja";

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
    chatTemplate: await writeTemplate(await chatTemplateOf(files), folder),
    generationConfig: await copy(files.generationConfig),
    license: await copy(files.license),
  };
}

/**
 * The source of the model's chat template: its own file, or what tokenizer_config.json holds, one template or several by name, of
 * which "default" is taken, and "tool_use" where there are tools. null where there is none.
 */
export async function chatTemplateOf({ chatTemplate, tokenizer, tokenizerConfig }: ModelFiles): Promise<string | null> {
  if (chatTemplate !== null) return await readFile(chatTemplate, "utf8");
  const config = tokenizer === null || tokenizerConfig === null ? null : await readJson(tokenizerConfig);
  const held = isRecord(config) ? config.chat_template : undefined;
  if (typeof held === "string") return held;
  const named = new Map((Array.isArray(held) ? held : []).filter(isRecord).map(({ name, template }) => [name, template]));
  const [plain, forTools] = [named.get("default"), named.get("tool_use")];
  if (typeof plain !== "string") return typeof forTools === "string" ? forTools : null;
  return typeof forTools === "string" ? withToolTemplate(plain, forTools) : plain;
}

/** What is wrong with the model's chat template; a model can be used without one. */
export async function templateWarnings(files: ModelFiles): Promise<readonly string[]> {
  const source = await chatTemplateOf(files);
  try {
    if (source !== null) checkTemplate(source);
    return [];
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return [`${error.message}; lfmc chat will need another one`];
  }
}

async function writeTemplate(source: string | null, folder: string): Promise<string | null> {
  if (source === null) return null;
  await writeFile(join(folder, templateName), source);
  return templateName;
}

/** A model's tokenizer, and what it must fit. */
export interface TokenizerFacts {
  readonly files: Pick<ModelFiles, "tokenizer" | "tokenizerConfig">;
  readonly tokens: Pick<ImportedModel["tokens"], "bos">;
  readonly config: Pick<ImportedModel["config"], "vocabSize">;
}

/**
 * Refuses a tokenizer that does not open or names tokens that the model has not got. Throws `config/invalid`, or the runtime's
 * `artefact/invalid`.
 */
export async function checkTokenizer({ files, tokens, config }: TokenizerFacts): Promise<void> {
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
