/** What turns text into a model's tokens and back, without the model: the same for every engine. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createChatTemplate, templateTokens, type ChatTemplate } from "../../runtime/chat/index.ts";
import { createTokenizer, type Manifest, type Tokenizer } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { parseJson } from "../import/json.ts";

export interface ModelText {
  /** null where the model has none. */
  readonly tokenizer: Tokenizer | null;
  /** null where the model has none, and none was given. */
  readonly template: ChatTemplate | null;
  /** sha256 of all that text depends on: tokenizer, template, special tokens. */
  readonly sha256: string;
}

/** Reads an artefact's tokenizer and template; `template` is the source of another one. Throws artefact/invalid, and what the system does. */
export async function readModelText(folder: string, manifest: Manifest, template: string | undefined): Promise<ModelText> {
  const { files, tokens } = manifest;
  const read = async (name: string | null): Promise<Buffer | null> => (name === null ? null : await readFile(join(folder, name)));
  const [json, config, ownTemplate] = await Promise.all([read(files.tokenizer), read(files.tokenizerConfig), read(files.chatTemplate)]);
  const tokenizer = json && createTokenizer(parse(json, files.tokenizer), config ? parse(config, files.tokenizerConfig) : {}, tokens.bos);
  const source = template ?? ownTemplate?.toString("utf8");
  const hash = createHash("sha256");
  for (const part of [json, config, source, JSON.stringify(tokens)]) hash.update(`${part?.length ?? 0}:`).update(part ?? "");
  return {
    tokenizer,
    template: source === undefined ? null : createChatTemplate(source, templateTokens(manifest, tokenizer)),
    sha256: hash.digest("hex"),
  };
}

function parse(bytes: Buffer, name: string | null): unknown {
  const parsed = parseJson(bytes);
  if ("value" in parsed) return parsed.value;
  throw new LfmcError("artefact/invalid", parsed.fault, {
    subject: String(name),
    hint: "compile the model again: the artefact was altered",
  });
}
