/** From a line of the input to a request: which prompt it gives, as tokens, and whether the model can take it. */
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import type { ChatMessage } from "../../runtime/chat/index.ts";
import type { Manifest } from "../../runtime/index.ts";
import { LfmcError } from "../errors.ts";
import { parseConversation } from "../import/conversation.ts";
import type { PromptLine } from "./prompt-line.ts";
import type { BatchRequest, LineError } from "./engine.ts";
import type { ModelText } from "./model-text.ts";

/** What lines may leave out, and what they are turned into tokens with. */
export interface Preparation {
  readonly manifest: Manifest;
  readonly text: ModelText;
  readonly maxTokens: number;
  /** Of line 0; each line that has no seed of its own gets one more than the line before it. */
  readonly seed: number;
  /** What a template takes for now. */
  readonly now: Date;
}

/** The request, or why there is none. */
export function prepare({ index, content }: PromptLine, preparation: Preparation): BatchRequest | LineError {
  if ("error" in content) return content.error;
  try {
    const { fields } = content;
    const { seed, maxTokens, max_tokens: alias } = fields;
    if (isGiven(maxTokens) && isGiven(alias)) throw refused("has both maxTokens and max_tokens");
    return {
      index,
      ...promptOf(fields, preparation),
      maxTokens: wholeNumber("maxTokens", isGiven(alias) ? alias : maxTokens) ?? preparation.maxTokens,
      seed: wholeNumber("seed", seed) ?? seedOf(preparation.seed, index),
    };
  } catch (error) {
    if (error instanceof LfmcError || error instanceof RuntimeError) return { code: error.code, message: error.message };
    throw error;
  }
}

/** The ways in which a line may say what to generate from. */
const kinds = { prompt: textTokens, tokens: givenTokens, messages: conversationTokens };

interface Prompt {
  readonly tokens: readonly number[];
  readonly endTokens: readonly number[];
}

function promptOf(fields: Readonly<Record<string, unknown>>, preparation: Preparation): Prompt {
  const given = Object.entries(kinds).filter(([name]) => isGiven(fields[name]));
  const [[name, tokensOf] = []] = given;
  if (name === undefined || tokensOf === undefined) throw refused("has none of prompt, tokens and messages");
  if (given.length > 1) throw refused(`has ${given.map(([kind]) => kind).join(" and ")}, which must not come together`);
  const prompt = tokensOf(fields[name], preparation);
  const { context } = preparation.manifest.limits;
  if (prompt.tokens.length === 0) throw refused("holds no token", name);
  if (prompt.tokens.length >= context) throw tooLong(name, `${prompt.tokens.length} tokens`, context);
  return prompt;
}

/** No text of fewer tokens is so long, so that no tokenizer spends minutes on what is refused in the end. */
const mostCharactersPerToken = 256;

function textTokens(prompt: unknown, { manifest, text: { tokenizer } }: Preparation): Prompt {
  if (typeof prompt !== "string") throw refused("is not a text", "prompt");
  if (!tokenizer) throw refused("is a text, and the model has no tokenizer", "prompt");
  const { context } = manifest.limits;
  if (prompt.length > context * mostCharactersPerToken) throw tooLong("prompt", `${prompt.length} characters`, context);
  return { tokens: tokenizer.encode(prompt), endTokens: [] };
}

function givenTokens(tokens: unknown, { manifest }: Preparation): Prompt {
  const { vocabSize } = manifest.model;
  const isToken = (id: unknown): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabSize;
  if (Array.isArray(tokens) && tokens.every(isToken)) return { tokens, endTokens: [] };
  throw refused(`is not a list of token ids below ${vocabSize}`, "tokens");
}

const turnEnd = "<|im_end|>";

/** As the runtime's `chat` does: the template writes the conversation, and its own end of a turn ends the answer. */
function conversationTokens(messages: unknown, { manifest, text: { tokenizer, template }, now }: Preparation): Prompt {
  if (!tokenizer) throw refused("are a text, and the model has no tokenizer", "messages");
  if (!template) throw refused("need a chat template, and the model has none", "messages");
  const conversation: readonly ChatMessage[] = parseConversation({ messages: jsonOf(messages) }, "line").messages;
  const text = template.render(conversation, { now });
  const { context } = manifest.limits;
  if (text.length > context * mostCharactersPerToken) throw tooLong("messages", `${text.length} characters`, context);
  const end = template.source.includes(turnEnd) ? tokenizer.idOf(turnEnd) : undefined;
  return { tokens: tokenizer.encode(text), endTokens: end === undefined ? [] : [end] };
}

/** Tables that have no lists of objects hold conversations as JSON. */
function jsonOf(messages: unknown): unknown {
  if (typeof messages !== "string") return messages;
  try {
    return JSON.parse(messages);
  } catch {
    throw refused("are not JSON", "messages");
  }
}

/** Undefined for none. */
function wholeNumber(name: string, value: unknown): number | undefined {
  if (!isGiven(value)) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw refused("is not a whole number of at least 0", name);
}

/** The `index`th after `first`; after the largest comes 0. */
function seedOf(first: number, index: number): number {
  const left = Number.MAX_SAFE_INTEGER - first;
  return index <= left ? first + index : index - left - 1;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function tooLong(name: string, length: string, context: number): LfmcError {
  return new LfmcError("run/context", `has ${length}, which leaves no room in the context of ${context}`, {
    subject: name,
    hint: "shorten it, or compile with a larger --context",
  });
}

function refused(fact: string, subject = "line"): LfmcError {
  return new LfmcError("run/input", fact, { subject, hint: "correct the line" });
}
