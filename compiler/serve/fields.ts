/**
 * What requests may say, as schemas: every number has a range, every list and text a length. A field may be null for absent. Those that
 * nothing knows are ignored, since clients send many; those that are known and not done here are refused, unless they say what is done
 * anyway.
 */
import * as v from "valibot";
import { deepest, isJson, type JsonObject } from "../../runtime/json.ts";
import { ApiError } from "./api-error.ts";

/** The request as its schema has it. Throws `ApiError` 400 with the field at fault. */
export function parseFields<Schema extends v.GenericSchema>(schema: Schema, json: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const param = v.getDotPath(issue) ?? undefined;
  throw new ApiError(400, param === undefined ? `The body must be ${issue.message}.` : `${param} must be ${issue.message}.`, {
    param,
    code: "invalid_value",
  });
}

/** A whole number, null and undefined for none. */
function whole(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const message = max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`;
  return v.nullish(
    v.pipe(
      v.number(message),
      v.check((x) => Number.isSafeInteger(x) && x >= min && x <= max, message),
    ),
  );
}

/** A number, null and undefined for none. */
function real(min: number, max: number) {
  const message = `a number from ${min} to ${max}`;
  return v.nullish(v.pipe(v.number(message), v.minValue(min, message), v.maxValue(max, message)));
}

function list<Item extends v.GenericSchema>(item: Item, min: number, max: number, what: string) {
  const message = `a list of ${min} to ${max} ${what}`;
  return v.pipe(v.array(item, message), v.minLength(min, message), v.maxLength(max, message));
}

function text(min: number, max: number) {
  const message = `a text of ${min} to ${max} characters`;
  return v.pipe(v.string(message), v.minLength(min, message), v.maxLength(max, message));
}

/** An object; of a field that is missing in it the message says that. */
function record<Entries extends v.ObjectEntries>(entries: Entries, what = "an object") {
  return v.object(entries, ({ expected }) => (expected === "Object" ? what : "given"));
}

const flag = v.nullish(v.boolean("true or false"));

/** A field of OpenAI's that must say what is done anyway. */
function only(allowed: string | number | boolean) {
  return v.nullish(v.custom<typeof allowed>((value) => value === allowed, `${JSON.stringify(allowed)}: nothing else is supported here`));
}

/** A field of OpenAI's that is not supported at all. */
const unsupported = v.nullish(v.never("left out: it is not supported here"));

const mostBias = 1024;
const biasMessage = `an object of at most ${mostBias} token ids, each with a number from -100 to 100`;
const logitBias = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^\d{1,9}$/, biasMessage)),
    v.pipe(v.number(biasMessage), v.minValue(-100, biasMessage), v.maxValue(100, biasMessage)),
    biasMessage,
  ),
  v.check((bias) => Object.keys(bias).length <= mostBias, biasMessage),
);

const stopText = text(1, 256);

/** What both kinds of completion take. */
const shared = {
  model: v.nullish(text(1, 1024)),
  max_tokens: whole(1),
  temperature: real(0, 2),
  top_p: real(0, 1),
  top_k: whole(0),
  min_p: real(0, 1),
  repetition_penalty: real(0.01, 100),
  seed: whole(0),
  stop: v.nullish(v.union([stopText, list(stopText, 0, 16, "texts")], "a text of 1 to 256 characters, or a list of at most 16")),
  logit_bias: v.nullish(logitBias),
  decode: v.nullish(v.picklist(["greedy", "jacobi", "lookup"], '"greedy", "jacobi" or "lookup"')),
  window: whole(1, 65536),
  stream: flag,
  stream_options: v.nullish(record({ include_usage: flag }, "an object with include_usage")),
  n: only(1),
  frequency_penalty: only(0),
  presence_penalty: only(0),
};

const mostLogprobs = 20;

const tokenIds = list(v.pipe(v.number("a token id"), v.safeInteger("a token id"), v.minValue(0, "a token id")), 1, 2 ** 20, "token ids");
const promptMessage = "a text, a list of token ids, or a list with one of them";

export const completionSchema = record(
  {
    ...shared,
    prompt: v.union(
      [
        v.string(),
        tokenIds,
        v.pipe(
          v.strictTuple([v.union([v.string(), tokenIds])]),
          v.transform(([prompt]) => prompt),
        ),
      ],
      promptMessage,
    ),
    logprobs: whole(0, mostLogprobs),
    best_of: only(1),
    echo: only(false),
    suffix: only(""),
  },
  "an object",
);
export type CompletionFields = v.InferOutput<typeof completionSchema>;

const nameMessage = "a name of 1 to 64 letters, digits, _, . and -";
const functionName = v.pipe(v.string(nameMessage), v.regex(/^[A-Za-z0-9_.-]{1,64}$/, nameMessage));
const jsonObject = v.custom<JsonObject>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value) && isJson(value, deepest),
  "an object",
);

const contentMessage = "a text, or a list of parts of the type text";
const textPart = record({ type: v.literal("text"), text: v.string() });
/** Parts are put together a line each. */
const content = v.union(
  [
    v.string(),
    v.pipe(
      v.array(textPart),
      v.minLength(1),
      v.transform((parts) => parts.map((part) => part.text).join("\n")),
    ),
  ],
  contentMessage,
);
const callSchema = record(
  {
    id: v.optional(v.string("a text")),
    type: v.literal("function", '"function"'),
    function: record({ name: v.string("a text"), arguments: v.string("a text") }),
  },
  "an object with id, type and function",
);
const name = v.optional(v.string("a text"));
const messageSchema = v.variant(
  "role",
  [
    record({ role: v.literal("system"), content, name }),
    record({
      role: v.pipe(
        v.literal("developer"),
        v.transform(() => "system" as const),
      ),
      content,
      name,
    }),
    record({ role: v.literal("user"), content, name }),
    record({
      role: v.literal("assistant"),
      content: v.nullish(content),
      name,
      tool_calls: v.optional(list(callSchema, 1, 128, "calls")),
    }),
    record({ role: v.literal("tool"), content, name, tool_call_id: v.optional(v.string("a text")) }),
  ],
  "a message with the role system, developer, user, assistant or tool",
);

const toolSchema = record(
  {
    type: v.literal("function", '"function"'),
    function: record({
      name: functionName,
      description: v.optional(v.string("a text")),
      parameters: v.optional(jsonObject),
    }),
  },
  "a tool of the type function",
);

const formatMessage = "an object of the type text, json_object or json_schema";
const formatSchema = v.variant(
  "type",
  [
    record({ type: v.literal("text") }),
    record({ type: v.literal("json_object") }),
    record({ type: v.literal("json_schema"), json_schema: record({ schema: jsonObject }, "an object with a schema") }),
  ],
  formatMessage,
);

export const chatSchema = record(
  {
    ...shared,
    messages: list(messageSchema, 1, 4096, "messages"),
    max_completion_tokens: whole(1),
    logprobs: flag,
    top_logprobs: whole(0, mostLogprobs),
    tools: v.nullish(list(toolSchema, 0, 128, "tools")),
    // A call that must come would need a constraint in the model's own way to write calls, which differs from model to model.
    tool_choice: v.nullish(v.picklist(["none", "auto"], '"none" or "auto": a call that must come is not supported here')),
    parallel_tool_calls: flag,
    response_format: v.nullish(formatSchema),
    functions: unsupported,
    function_call: unsupported,
    audio: unsupported,
    prediction: unsupported,
    web_search_options: unsupported,
  },
  "an object",
);
export type ChatFields = v.InferOutput<typeof chatSchema>;
export type SharedFields = Pick<ChatFields, keyof typeof shared>;
