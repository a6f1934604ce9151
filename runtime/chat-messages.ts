/** Conversations as OpenAI's API has them: what templates render, what chat answers with. */

/** Deeper values are refused: nothing asks for them, and they exhaust the stack. */
export const deepest = 64;

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content?: string | null | undefined;
  /** What an assistant asked for. */
  readonly tool_calls?: readonly ToolCallMessage[] | undefined;
  /** Of a tool's message: which call it answers. */
  readonly tool_call_id?: string | undefined;
  readonly name?: string | undefined;
}

export interface ToolCallMessage {
  readonly id?: string | undefined;
  readonly type?: "function" | undefined;
  /** `arguments` is JSON: its text, or the object itself. */
  readonly function: { readonly name: string; readonly arguments: string | JsonObject };
}

/** A function that the model may ask for; `parameters` is a JSON schema. */
export interface Tool {
  readonly type: "function";
  readonly function: { readonly name: string; readonly description?: string | undefined; readonly parameters?: JsonObject | undefined };
}

/** A call as it was parsed. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: JsonObject;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON value of a text; undefined where it is none, or deeper than `deepest`. */
export function parseJson(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value, deepest) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether JSON can say it, in at most so many levels. */
export function isJson(value: unknown, levels: number): value is Json {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  return levels > 0 && typeof value === "object" && Object.values(value).every((item) => isJson(item, levels - 1));
}

/** Calls of a message with their arguments as objects; those whose arguments are no object have none. */
export function callsOf(message: ChatMessage): readonly ToolCall[] {
  return (message.tool_calls ?? []).map(({ function: { name, arguments: given } }) => {
    const parsed = typeof given === "string" ? parseJson(given) : given;
    return { name, arguments: isJsonObject(parsed) ? parsed : {} };
  });
}
