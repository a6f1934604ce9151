/** The model that is served, and prompts of it. */
import type { ChatTemplate } from "../../runtime/chat/index.ts";
import type { Model } from "../../runtime/index.ts";
import { ApiError } from "./api-error.ts";

export interface ServedModel {
  readonly model: Model;
  /** Its name in requests and answers. */
  readonly id: string;
  /** Unix time, seconds. */
  readonly created: number;
  /** Of conversations, in place of the model's own. */
  readonly template: ChatTemplate | undefined;
}

/** No text has so few tokens: longer ones are refused before a tokenizer spends seconds on them. */
const mostCharactersPerToken = 16;

/** Throws `ApiError` 400 for a text that is far longer than the model's context. */
export function assertTextFits({ model }: ServedModel, characters: number): void {
  const { context } = model.manifest.limits;
  if (characters > context * mostCharactersPerToken) throw tooLong(`${characters} characters`, context);
}

/** Throws `ApiError` 400 for a prompt that leaves no room for a token in the model's context. */
export function assertTokensFit({ model }: ServedModel, tokens: readonly number[]): void {
  const { context } = model.manifest.limits;
  if (tokens.length >= context) throw tooLong(`${tokens.length} tokens`, context);
}

function tooLong(length: string, context: number): ApiError {
  return new ApiError(400, `The prompt has ${length}; the model's context is ${context} tokens, those of the answer among them.`, {
    code: "context_length_exceeded",
  });
}

/** Throws `ApiError` 404 where a request names another model. */
export function assertServed({ id }: ServedModel, wanted: string | null | undefined): void {
  if (wanted === undefined || wanted === null || wanted === id) return;
  throw new ApiError(404, `The model ${JSON.stringify(wanted)} is not served here, ${JSON.stringify(id)} is.`, {
    param: "model",
    code: "model_not_found",
  });
}

/** The entry of `GET /v1/models`. */
export function modelEntry({ id, created, model }: ServedModel): object {
  const { limits, model: facts } = model.manifest;
  return { id, object: "model", created, owned_by: "lfmc", context_length: limits.context, parameters: facts.parameters };
}
