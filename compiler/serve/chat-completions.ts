/** `POST /v1/chat/completions`: a conversation is answered, with text or calls of tools. */
import { chat, encodeChat, type ChatTemplate, type Tool } from "../../runtime/chat/index.ts";
import type { Constraint, Model, Session, TokenLogprob } from "../../runtime/index.ts";
import { jsonObject, jsonSchema } from "../../runtime/json-schema/index.ts";
import { ApiError } from "./api-error.ts";
import type { ChatFields } from "./fields.ts";
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

/**
 * Throws `ApiError` 400 for fields that do not go together and a conversation that is too long, `chat/template` as `encodeChat` does, and
 * `run/input` as `jsonSchema` does.
 */
export function chatJob(served: ServedModel, fields: ChatFields): Job {
  const { model, template } = served;
  if (fields.top_logprobs !== undefined && fields.top_logprobs !== null && !fields.logprobs)
    throw new ApiError(400, "top_logprobs must come with logprobs.", { param: "top_logprobs" });
  const tools = fields.tool_choice === "none" ? [] : (fields.tools ?? []);
  const constrain = constraintOf(model, fields);
  if (constrain && tools.length > 0)
    throw new ApiError(400, 'response_format must be left out where there are tools, or tool_choice be "none".', {
      param: "response_format",
    });
  assertTextFits(served, JSON.stringify([fields.messages, tools]).length);
  const prompt = { template, tools };
  const tokens = encodeChat(model, fields.messages, prompt);
  assertTokensFit(served, tokens);
  return {
    tokens,
    stream: fields.stream ?? false,
    run: (session, limits) => run(served, fields, { ...prompt, tokens, constrain }, session, limits),
  };
}

interface Prompt {
  readonly template: ChatTemplate | undefined;
  readonly tools: readonly Tool[];
  readonly tokens: readonly number[];
  readonly constrain: Constraint | undefined;
}

async function* run(
  served: ServedModel,
  fields: ChatFields,
  { tokens, constrain, ...prompt }: Prompt,
  session: Session,
  limits: JobLimits,
): AsyncGenerator<object, object, void> {
  const { model } = served;
  const cached = session.position;
  const head = answerHead(served, "chat.completion.chunk", "chatcmpl");
  const wantsUsage = fields.stream_options?.include_usage ?? false;
  const piece = (delta: object, logprobs: object | null = null, finish_reason: string | null = null): object => ({
    ...head,
    choices: [{ index: 0, delta, logprobs, finish_reason }],
    ...(wantsUsage && { usage: null }),
  });
  const options = {
    ...generateOptions(fields, limits),
    ...prompt,
    encoded: tokens,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? undefined,
    logprobs: fields.logprobs ? (fields.top_logprobs ?? 0) : undefined,
    constrain,
  };
  const told: object[] = [];
  const calls: object[] = [];
  let text = "";
  let begun = false;
  for await (const { token, text: more, toolCall, logprob } of chat(model, session, fields.messages, options)) {
    if (!begun) yield piece({ role: "assistant", content: "" });
    begun = true;
    const entry = logprob && isText(model, token) ? [logprobEntry(model, token, logprob)] : [];
    told.push(...entry);
    const logprobs = entry.length > 0 ? { content: entry, refusal: null } : null;
    if (toolCall) {
      const { id, name, arguments: given } = toolCall;
      const call = { id, type: "function", function: { name, arguments: JSON.stringify(given) } };
      yield piece({ tool_calls: [{ index: calls.length, ...call }] }, logprobs);
      calls.push(call);
      if (fields.parallel_tool_calls === false) break;
    } else if (more !== undefined || logprobs) yield piece({ content: more ?? "" }, logprobs);
    text += more ?? "";
  }
  const isCut = calls.length > 0 && fields.parallel_tool_calls === false;
  const reason = isCut ? "stop" : finishReason(stopReasonOf(session));
  const finish = reason === "stop" && calls.length > 0 ? "tool_calls" : reason;
  const usage = usageOf(session, tokens.length, cached);
  yield piece({}, null, finish);
  if (wantsUsage) yield { ...head, choices: [], usage };
  const content = calls.length > 0 && text.trim() === "" ? null : text;
  const message = { role: "assistant", content, refusal: null, ...(calls.length > 0 && { tool_calls: calls }) };
  const logprobs = fields.logprobs ? { content: told, refusal: null } : null;
  return { ...head, object: "chat.completion", choices: [{ index: 0, message, logprobs, finish_reason: finish }], usage };
}

function constraintOf(model: Model, { response_format: format }: ChatFields): Constraint | undefined {
  switch (format?.type) {
    case "json_object":
      return jsonObject(model);
    case "json_schema":
      return jsonSchema(model, format.json_schema.schema);
    default:
      return undefined;
  }
}

/** Whether a token is part of a text: special ones are not. */
function isText({ tokenizer }: Model, token: number): boolean {
  return (tokenizer?.bytesOf(token).length ?? 0) > 0;
}

function logprobEntry(model: Model, token: number, { logprob, top }: TokenLogprob): object {
  const entry = (id: number, value: number): object => ({
    token: tokenText(model, id),
    logprob: finiteLogprob(value),
    bytes: Array.from(model.tokenizer?.bytesOf(id) ?? []),
  });
  return { ...entry(token, logprob), top_logprobs: top.map((other) => entry(other.token, other.logprob)) };
}
