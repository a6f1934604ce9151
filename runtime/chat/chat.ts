/**
 * An answer in a conversation: the template writes the conversation, the session keeps what it has of it and goes on, calls of tools
 * are taken out of the text as it comes.
 */
import type { ChatMessage, Tool, ToolCall } from "./messages.ts";
import { type ChatTemplate, type RenderOptions, templateOf } from "./template.ts";
import { LfmcError } from "../index.ts";
import type { GenerationResult, StopReason } from "../generation.ts";
import type { TokenLogprob } from "../logprobs.ts";
import type { Model } from "../model.ts";
import type { GenerateOptions } from "../generate-options.ts";
import type { Session } from "../session.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { type ChatEvent, ToolCallStream } from "./tool-calls/stream.ts";

/** What a conversation is written with. */
export interface ChatPrompt extends Pick<RenderOptions, "tools" | "variables"> {
  /** In place of the model's own. */
  readonly template?: ChatTemplate | undefined;
}

/** What is left out of the sampling settings falls back to the model's. */
export interface ChatOptions extends ChatPrompt, Omit<GenerateOptions, "endTokens" | "shownTokens"> {
  /** What `encodeChat` made of the same conversation, where that is known. */
  readonly encoded?: readonly number[] | undefined;
}

/** A call under the name that its answer refers to. */
export interface IdentifiedCall extends ToolCall {
  /** For `tool_call_id` of the tool's message. */
  readonly id: string;
}

/**
 * What became certain with a token: text, or a call, or nothing yet. A token that made several things certain has as many parts, the
 * first of which tells how likely it was; what is certain only at the end comes with the last token again.
 */
export interface ChatPart {
  /** Its id. */
  readonly token: number;
  /** Text of the answer, to be put behind what came before. */
  readonly text?: string;
  /** A tool that the model asks for, with its arguments. */
  readonly toolCall?: IdentifiedCall;
  /** How likely the token was; only where `logprobs` asked for it. */
  readonly logprob?: TokenLogprob;
}

/** stop: the model ended it, or a stop string did; tool_calls: it asks for tools; length: there was no more room, or time. */
export type FinishReason = "stop" | "tool_calls" | "length";

/** An answer that is whole. */
export interface ChatResult {
  /** To be put behind the conversation. */
  readonly message: ChatMessage;
  /** Why the answer ended. */
  readonly finish: FinishReason;
  /** How the generation ended, and what it took. */
  readonly result: GenerationResult;
}

const turnEnd = "<|im_end|>";

/**
 * The conversation as tokens, ready to be answered. Throws `chat/template` where there is no template or it does not take the
 * conversation, and `run/input` where the model has no tokenizer.
 */
export function encodeChat(
  model: Model,
  messages: readonly ChatMessage[],
  { template, tools, variables }: ChatPrompt = {},
): readonly number[] {
  const text = templateFor(model, template).render(messages, { tools, variables });
  return tokenizerOf(model).encode(text);
}

/**
 * Answers the conversation. The session may hold anything: what it shares with the conversation is kept, the rest is rewound. Throws
 * as `encodeChat` and `Session.generate` do.
 */
export async function* chat(
  model: Model,
  session: Session,
  messages: readonly ChatMessage[],
  { template: given, tools = [], variables, encoded, ...generation }: ChatOptions = {},
): AsyncGenerator<ChatPart, ChatResult, void> {
  const template = templateFor(model, given);
  const tokens = encoded ?? encodeChat(model, messages, { template, tools, variables });
  const answer = new Answer(template, tools);
  const kept = session.keepPrefix(tokens);
  let token = 0;
  for await (const part of session.generate(tokens.slice(kept), { ...generation, ...specialTokens(model, template, tools) })) {
    ({ token } = part);
    const { logprob } = part;
    const events = answer.push(part.text);
    if (events.length === 0) yield { token, ...(logprob && { logprob }) };
    for (const [i, event] of events.entries()) yield { token, ...event, ...(i === 0 && logprob && { logprob }) };
  }
  for (const event of answer.flush()) yield { token, ...event };
  const { result } = session;
  if (!result) throw new LfmcError("run/input", "was not answered", { subject: "conversation", hint: "Call chat again." });
  return answer.result(result);
}

/** The text and the calls of an answer, as they come. */
class Answer {
  readonly #calls: ToolCallStream | null;
  #text = "";
  #found: readonly IdentifiedCall[] = [];

  constructor({ dialect }: ChatTemplate, tools: readonly Tool[]) {
    this.#calls = dialect && tools.length > 0 ? new ToolCallStream(dialect, tools) : null;
  }

  push(text: string): readonly Omit<ChatPart, "token">[] {
    return this.#take(this.#calls?.push(text) ?? (text === "" ? [] : [{ text }]));
  }

  flush(): readonly Omit<ChatPart, "token">[] {
    return this.#take(this.#calls?.flush() ?? []);
  }

  result(result: GenerationResult): ChatResult {
    const calls = this.#found;
    const content = calls.length > 0 && this.#text.trim() === "" ? null : this.#text;
    const written = calls.map(({ id, name, arguments: given }) => ({
      id,
      type: "function" as const,
      function: { name, arguments: JSON.stringify(given) },
    }));
    const message: ChatMessage = { role: "assistant", content, ...(calls.length > 0 && { tool_calls: written }) };
    return { message, finish: finishOf(result.stopReason, calls.length > 0), result };
  }

  #take(events: readonly ChatEvent[]): readonly Omit<ChatPart, "token">[] {
    return events.map(({ text, toolCall }) => {
      if (toolCall) {
        const call = { id: newCallId(), ...toolCall };
        this.#found = [...this.#found, call];
        return { toolCall: call };
      }
      this.#text += text;
      return { text };
    });
  }
}

function finishOf(reason: StopReason, hasCalls: boolean): FinishReason {
  if (reason !== "eos" && reason !== "stop") return "length";
  return hasCalls ? "tool_calls" : "stop";
}

/** The template's own end of a turn ends the answer; the markers of calls are shown where calls are looked for. */
function specialTokens(
  model: Model,
  { source, dialect }: ChatTemplate,
  tools: readonly Tool[],
): Pick<GenerateOptions, "endTokens" | "shownTokens"> {
  const tokenizer = tokenizerOf(model);
  const ids = (contents: readonly string[]): readonly number[] => contents.flatMap((content) => tokenizer.idOf(content) ?? []);
  return {
    endTokens: source.includes(turnEnd) ? ids([turnEnd]) : [],
    shownTokens: dialect && tools.length > 0 ? ids([dialect.start, dialect.end]) : [],
  };
}

function templateFor(model: Model, given: ChatTemplate | undefined): ChatTemplate {
  const template = given ?? templateOf(model);
  if (template) return template;
  throw new LfmcError("chat/template", "has no chat template", {
    subject: "model",
    hint: "Compile the model with its chat_template.jinja, or give a template.",
  });
}

function tokenizerOf({ tokenizer }: Model): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new LfmcError("run/input", "has no tokenizer", { subject: "model", hint: "Compile the model with its tokenizer.json." });
}

/** So many random digits that no two calls of a conversation get the same. */
function newCallId(): string {
  return `call_${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
