/**
 * The model's own chat template: Jinja, as @huggingface/jinja reads it, with the settings of transformers (trim_blocks,
 * lstrip_blocks). It comes with the model, so nobody vouches for it: it is parsed when first used, runs within a budget, and sees
 * nothing but what it is given.
 */
import { type ChatMessage, type Tool, callsOf } from "./messages.ts";
import { deepest } from "../json.ts";
import { LfmcError } from "../index.ts";
import { type TemplateNode, createInterpreter, parseJinja } from "./jinja.ts";
import type { Manifest } from "../manifest.ts";
import type { Model } from "../model.ts";
import { Exhausted, meteredRun } from "./template-budget.ts";
import { strftime } from "./strftime.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { type Dialect, dialectOf } from "./tool-calls/dialect.ts";

/** Special tokens as text, under the names that templates use. */
export interface TemplateTokens {
  /** `bos_token`, empty by default. */
  readonly bosToken?: string | undefined;
  /** `eos_token`, empty by default. */
  readonly eosToken?: string | undefined;
  /** `pad_token`, empty by default. */
  readonly padToken?: string | undefined;
}

/** What a template is told beside the messages. */
export interface RenderOptions {
  /** What the model may call; without any, the template is told of none. */
  readonly tools?: readonly Tool[] | undefined;
  /** End with the beginning of the assistant's answer; true by default. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** More variables that the template knows, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** What `strftime_now` takes for now. */
  readonly now?: Date | undefined;
  /** What it may take, 1 by default. */
  readonly maxSeconds?: number | undefined;
}

/** A way to write a conversation as the model's text. */
export interface ChatTemplate {
  /** Its Jinja text. */
  readonly source: string;
  /** How the model writes calls of tools, null where the template tells of no way. */
  readonly dialect: Dialect | null;
  /** Whether the template shows tools to the model. */
  readonly takesTools: boolean;
  /**
   * The conversation as the model's text. Throws `chat/template` for a template that does not parse, fails, refuses the conversation
   * (`raise_exception`) or exceeds its budget, and for tools that it would not show.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** Most characters of a template's source. */
const longestSource = 2 ** 18;
/** White space in a row: the package looks for what follows each of them from each one. */
const mostSpace = 256;
const longestText = 2 ** 20;
const mostNumbers = 2 ** 16;

/** A template; its source is looked at when it is first rendered. */
export function createChatTemplate(source: string, tokens: TemplateTokens = {}): ChatTemplate {
  let program: TemplateNode | null = null;
  const takesTools = /\btools\b/.test(source);
  const dialect = dialectOf(source);
  return {
    source,
    dialect,
    takesTools,
    render(messages, { tools = [], addGenerationPrompt = true, variables = {}, now, maxSeconds = 1 } = {}) {
      if (tools.length > 0 && !takesTools)
        throw fault("does not show tools to the model", "Leave the tools out, or give another template.");
      program ??= parseTemplate(source);
      const isTold = /\btool_calls\b/.test(source);
      const known = {
        ...variables,
        messages: messages.map((message) => plainMessage(message, isTold ? null : dialect)),
        tools: tools.length > 0 ? tools : null,
        add_generation_prompt: addGenerationPrompt,
        bos_token: tokens.bosToken ?? "",
        eos_token: tokens.eosToken ?? "",
        pad_token: tokens.padToken ?? "",
        raise_exception: refuse,
        range: numbers,
        strftime_now: (format: unknown) => strftime(now ?? new Date(), typeof format === "string" ? format : ""),
        ...constants,
      };
      return runTemplate(program, known, maxSeconds);
    },
  };
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

/** Templates of models, so that a source is parsed once. */
const templates = new WeakMap<object, ChatTemplate>();

/** The model's own template; null where it came without one. */
export function templateOf(model: Pick<Model, "manifest" | "tokenizer" | "chatTemplate">): ChatTemplate | null {
  const { manifest, tokenizer, chatTemplate: source } = model;
  if (source === null) return null;
  const template = templates.get(model) ?? createChatTemplate(source, templateTokens(manifest, tokenizer));
  templates.set(model, template);
  return template;
}

/** The special tokens of a model. */
export function templateTokens({ tokens: { bos, eos, pad } }: Manifest, tokenizer: Tokenizer | null): TemplateTokens {
  const content = (id: number | null | undefined): string | undefined => (typeof id === "number" ? tokenizer?.contentOf(id) : undefined);
  return { bosToken: content(bos), eosToken: content(eos[0]), padToken: content(pad) };
}

/** Throws `chat/template` where the source does not parse. */
export function checkTemplate(source: string): void {
  parseTemplate(source);
}

/** Of two templates one, which is the second where there are tools. */
export function withToolTemplate(source: string, toolSource: string): string {
  return `{% if tools %}${toolSource.replace(/\n$/, "")}{% else %}${source.replace(/\n$/, "")}{% endif %}`;
}

/**
 * A message as templates expect it: there is a content, and arguments are objects. A template that knows nothing of calls finds them
 * in the content, as the model wrote them.
 */
function plainMessage(message: ChatMessage, dialect: Dialect | null): Readonly<Record<string, unknown>> {
  const { tool_calls: given, content, ...rest } = message;
  const text = content ?? "";
  const calls = callsOf(message);
  if (given === undefined || calls.length === 0) return { ...rest, content: text };
  if (dialect) return { ...rest, content: dialect.write(calls) + text };
  const written = calls.map((call, i) => ({ ...given[i], type: "function", function: call }));
  return { ...rest, content: text, tool_calls: written };
}

function parseTemplate(source: string): TemplateNode {
  const hint = "Use the model's own chat_template.jinja, unaltered.";
  if (source.length > longestSource) throw fault(`has ${source.length} characters; at most ${longestSource} are read`, hint);
  if (new RegExp(`\\s{${mostSpace + 1}}`).test(source)) throw fault(`has more than ${mostSpace} spaces in a row`, hint);
  try {
    return parseJinja(source);
  } catch (cause) {
    throw fault(`does not parse: ${words(cause)}`, hint, cause);
  }
}

function runTemplate(program: TemplateNode, variables: Readonly<Record<string, unknown>>, maxSeconds: number): string {
  const hint = "Change the conversation, or give another template.";
  try {
    const unfit = Object.entries(variables).find(([, value]) => !isAdmitted(value));
    if (unfit) throw fault(`is given a variable "${unfit[0]}" that is no JSON, or deeper than ${deepest}`, "Pass plain values.");
    const { interpreter, scope } = createInterpreter(variables);
    const text = meteredRun(interpreter, program, scope, maxSeconds);
    if (text.length > longestText) throw new Exhausted(`writes more than ${longestText} characters`);
    return text;
  } catch (error) {
    if (error instanceof LfmcError) throw error;
    if (error instanceof Exhausted) throw fault(error.message, hint);
    throw fault(error instanceof Refusal ? `refuses the conversation: ${error.message}` : `fails: ${words(error)}`, hint, error);
  }
}

/** What a template may be given: our own functions, and JSON, as deep as a tool's schema in a list of tools. */
function isAdmitted(value: unknown): boolean {
  return typeof value === "function" || isPlain(value, deepest + 8);
}

function isPlain(value: unknown, levels: number): boolean {
  if (value === undefined || value === null || ["string", "number", "boolean"].includes(typeof value)) return true;
  return levels > 0 && typeof value === "object" && Object.values(value).every((item) => isPlain(item, levels - 1));
}

/** The template's own words. */
class Refusal extends Error {}

function refuse(message: unknown): never {
  throw new Refusal(words(new Error(typeof message === "string" ? message : "(no reason)")));
}

/** Python's range. */
function numbers(first: unknown, second?: unknown, third: unknown = 1): readonly number[] {
  const [start, stop, step] = second === undefined ? [0, first, third] : [first, second, third];
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(stop) || !Number.isSafeInteger(step) || step === 0)
    throw new Error("range() takes whole numbers");
  const count = Math.ceil((Number(stop) - Number(start)) / Number(step));
  if (count > mostNumbers) throw new Exhausted(`counts to ${count}`);
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(start) + i * Number(step));
}

function words(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.length > 500 ? `${message.slice(0, 500)}…` : message;
}

function fault(fact: string, hint: string, cause?: unknown): LfmcError {
  return new LfmcError("chat/template", fact, { subject: "chat template", hint, cause });
}
