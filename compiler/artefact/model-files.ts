/**
 * The files that travel with a model into its artefact. The tokenizer is opened once, as the runtime will, so that an artefact never
 * holds one that it could not load.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkTemplate, withToolTemplate } from "../../runtime/chat/template.ts";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { createTokenizer, type Tokenizer } from "../../runtime/tokenizer.ts";
import { LfmcError } from "../errors.ts";
import { checkTokenizerParts } from "./tokenizer-parts.ts";
import { readModelJson, type ModelFile } from "../import/model-file.ts";
import type { ImportedModel, ModelFiles } from "../import/model.ts";
import { isRecord } from "../import/schema-error.ts";

const templateName = "chat_template.jinja";

/** Copies what travels with the model; returns the names in the artefact. */
export async function copyModelFiles(files: ModelFiles, folder: string): Promise<Readonly<Record<keyof ModelFiles, string | null>>> {
  const copy = async (file: ModelFile | null): Promise<string | null> => {
    if (file === null) return null;
    await writeFile(join(folder, file.name), await file.read());
    return file.name;
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
  if (chatTemplate !== null) return new TextDecoder().decode(await chatTemplate.read());
  const config = tokenizer === null || tokenizerConfig === null ? null : await readModelJson(tokenizerConfig);
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

/** The model's tokenizer as the runtime opens it, null where it has none. Throws what checkTokenizer does. */
export async function openTokenizer({ files, tokens }: Pick<TokenizerFacts, "files" | "tokens">): Promise<Tokenizer | null> {
  if (files.tokenizer === null) return null;
  const json = await readModelJson(files.tokenizer);
  checkTokenizerParts(json, files.tokenizer.path);
  return createTokenizer(json, files.tokenizerConfig === null ? {} : await readModelJson(files.tokenizerConfig), tokens.bos);
}

/**
 * Refuses a tokenizer that does not open or names tokens that the model has not got. Throws `config/invalid`,
 * `config/unsupported`, or the runtime's `artefact/invalid`.
 */
export async function checkTokenizer({ files, tokens, config }: TokenizerFacts): Promise<void> {
  const tokenizer = await openTokenizer({ files, tokens });
  if (files.tokenizer === null || tokenizer === null) return;
  const outside = tokenizer.encode("The quick brown fox. 1234 ¿Qué? 你好").find((id) => id >= config.vocabSize);
  if (outside === undefined) return;
  throw new LfmcError("config/invalid", `gives token ${outside}, outside the model's vocabulary of ${config.vocabSize}`, {
    subject: files.tokenizer.path,
    hint: "is this the model's own tokenizer? without the file the model compiles for token ids alone",
  });
}
