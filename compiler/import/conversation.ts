/** Files of conversations: messages that `lfmc chat` saves and loads, and the tools that it gives to a model. */
import * as v from "valibot";
import { readJson } from "./json-file.ts";
import { parseWith } from "./schema-error.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

const text = v.string("a string");
const json: v.GenericSchema<Json> = v.lazy(() =>
  v.union([v.string(), v.number(), v.boolean(), v.null(), v.array(json), v.record(v.string(), json)], "JSON"),
);
const jsonObject = v.record(text, json, "an object");

const callSchema = v.object(
  {
    id: v.optional(text),
    type: v.optional(v.literal("function", '"function"')),
    function: v.object(
      { name: text, arguments: v.union([text, jsonObject], "a string of JSON or an object") },
      "an object with name and arguments",
    ),
  },
  "an object with a function",
);

const conversationSchema = v.object(
  {
    messages: v.array(
      v.object(
        {
          role: v.picklist(["system", "user", "assistant", "tool"], "system, user, assistant or tool"),
          content: v.optional(v.nullable(text, "a string or null")),
          tool_calls: v.optional(v.array(callSchema, "a list of calls")),
          tool_call_id: v.optional(text),
          name: v.optional(text),
        },
        "an object with role and content",
      ),
      "a list of messages",
    ),
  },
  "an object with messages",
);

const functionSchema = v.object({ name: text, description: v.optional(text), parameters: v.optional(jsonObject) }, "an object with a name");
const toolsSchema = v.array(
  v.union(
    [v.object({ type: v.literal("function"), function: functionSchema }), functionSchema],
    'an object {"type": "function", "function": {"name", "description", "parameters"}}',
  ),
  "a list of functions",
);

export type Conversation = v.InferOutput<typeof conversationSchema>;
export type ToolFunction = v.InferOutput<typeof functionSchema>;

/** The conversation in the file at `path`. Throws io/missing, io/unreadable, config/invalid. */
export async function readConversation(path: string): Promise<Conversation> {
  return parseConversation(await readJson(path), path);
}

/** A conversation that was parsed as part of `file`. Throws config/invalid. */
export function parseConversation(json: unknown, file: string): Conversation {
  return parseWith(conversationSchema, json, file);
}

/**
 * The functions in the file at `path`, as OpenAI's API has them, or without the shell of `type` and `function`. Throws io/missing,
 * io/unreadable, config/invalid.
 */
export async function readTools(path: string): Promise<readonly { readonly type: "function"; readonly function: ToolFunction }[]> {
  const tools = parseWith(toolsSchema, await readJson(path), path);
  return tools.map((tool) => ("function" in tool ? tool : { type: "function", function: tool }));
}
