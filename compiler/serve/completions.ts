/** `POST /v1/completions`: a prompt goes on. */
import type { Session, TokenLogprob } from "../../runtime/index.ts";
import { ApiError } from "./api-error.ts";
import type { CompletionFields } from "./fields.ts";
import {
  answerHead,
  finishReason,
  finiteLogprob,
  generateOptions,
  stopReasonOf,
  tokenText,
  usageOf,
  type Job,
  type JobLimits,
} from "./job.ts";
import { assertTextFits, assertTokensFit, type ServedModel } from "./served-model.ts";

/** As OpenAI's API has it. */
const defaultMaxTokens = 16;

/** Throws `ApiError` 400 for a prompt that is too long, or a text where the model has no tokenizer. */
export function completionJob(served: ServedModel, fields: CompletionFields): Job {
  const tokens = promptTokens(served, fields.prompt);
  assertTokensFit(served, tokens);
  return { tokens, stream: fields.stream ?? false, run: (session, limits) => run(served, fields, tokens, session, limits) };
}

async function* run(
  { model, ...served }: ServedModel,
  fields: CompletionFields,
  tokens: readonly number[],
  session: Session,
  limits: JobLimits,
): AsyncGenerator<object, object, void> {
  const cached = session.position;
  const head = answerHead({ model, ...served }, "text_completion", "cmpl");
  const noUsage = fields.stream_options?.include_usage ? { usage: null } : {};
  const piece = (text: string, logprobs: Logprobs | null, finish_reason: string | null): object => ({
    ...head,
    choices: [{ index: 0, text, logprobs, finish_reason }],
    ...noUsage,
  });
  const tokenTextOf = (token: number): string => tokenText(model, token);
  const wantsLogprobs = fields.logprobs ?? undefined;
  const options = { ...generateOptions(fields, limits), maxTokens: fields.max_tokens ?? defaultMaxTokens, logprobs: wantsLogprobs };
  let text = "";
  const told: Logprobs[] = [];
  for await (const part of session.generate(tokens.slice(cached), options)) {
    const logprobs = part.logprob ? logprobsOf(tokenTextOf, part.token, part.logprob, text.length) : null;
    if (logprobs) told.push(logprobs);
    text += part.text;
    if (part.text !== "" || logprobs) yield piece(part.text, logprobs, null);
  }
  const finish = finishReason(stopReasonOf(session));
  const usage = usageOf(session, tokens.length, cached);
  yield piece("", null, finish);
  if (fields.stream_options?.include_usage) yield { ...head, choices: [], usage };
  return {
    ...head,
    choices: [{ index: 0, text, logprobs: wantsLogprobs === undefined ? null : joined(told), finish_reason: finish }],
    usage,
  };
}

function promptTokens(served: ServedModel, prompt: CompletionFields["prompt"]): readonly number[] {
  if (typeof prompt !== "string") return prompt;
  assertTextFits(served, prompt.length);
  const { tokenizer } = served.model;
  if (!tokenizer) throw new ApiError(400, "prompt must be token ids: the model has no tokenizer.", { param: "prompt" });
  const tokens = tokenizer.encode(prompt);
  if (tokens.length === 0) throw new ApiError(400, "prompt must not be empty.", { param: "prompt" });
  return tokens;
}

/** A token each, in step. */
interface Logprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly number[];
  readonly top_logprobs: readonly Readonly<Record<string, number>>[];
  /** Where the token begins in the answer's text. */
  readonly text_offset: readonly number[];
}

function logprobsOf(textOf: (token: number) => string, token: number, { logprob, top }: TokenLogprob, offset: number): Logprobs {
  return {
    tokens: [textOf(token)],
    token_logprobs: [finiteLogprob(logprob)],
    top_logprobs: [Object.fromEntries(top.map((other) => [textOf(other.token), finiteLogprob(other.logprob)]))],
    text_offset: [offset],
  };
}

function joined(all: readonly Logprobs[]): Logprobs {
  return {
    tokens: all.flatMap(({ tokens }) => tokens),
    token_logprobs: all.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: all.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: all.flatMap(({ text_offset }) => text_offset),
  };
}
