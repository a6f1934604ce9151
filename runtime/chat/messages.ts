/** Conversations as OpenAI's API has them: what templates render, what chat answers with. */

import { type JsonObject, isJsonObject, parseJson } from "../json.ts";

/** A message of a conversation, as OpenAI's API has it. */
export interface ChatMessage {
  /** Whose it is. */
  readonly role: "system" | "user" | "assistant" | "tool";
  /** Its text. */
  readonly content?: string | null | undefined;
  /** What an assistant asked for. */
  readonly tool_calls?: readonly ToolCallMessage[] | undefined;
  /** Of a tool's message: which call it answers. */
  readonly tool_call_id?: string | undefined;
  /** Of the one who speaks, for templates that show it. */
  readonly name?: string | undefined;
}

/** A call of a tool, as an assistant's message has it. */
export interface ToolCallMessage {
  /** What the tool's message names in `tool_call_id`. */
  readonly id?: string | undefined;
  /** The only kind there is. */
  readonly type?: "function" | undefined;
  /** `arguments` is JSON: its text, or the object itself. */
  readonly function: { readonly name: string; readonly arguments: string | JsonObject };
}

/** A function that the model may ask for; `parameters` is a JSON schema. */
export interface Tool {
  /** The only kind there is. */
  readonly type: "function";
  /** Its name, what it does in words, and its parameters as a JSON schema. */
  readonly function: { readonly name: string; readonly description?: string | undefined; readonly parameters?: JsonObject | undefined };
}

/** A call as it was parsed. */
export interface ToolCall {
  /** The tool's. */
  readonly name: string;
  /** As an object. */
  readonly arguments: JsonObject;
}

/** Calls of a message with their arguments as objects; those whose arguments are no object have none. */
export function callsOf(message: ChatMessage): readonly ToolCall[] {
  return (message.tool_calls ?? []).map(({ function: { name, arguments: given } }) => {
    const parsed = typeof given === "string" ? parseJson(given) : given;
    return { name, arguments: isJsonObject(parsed) ? parsed : {} };
  });
}
