/**
 * Calls as LFM3 and Qwen write them: `<function=name><parameter=key>` value `</parameter></function>`. Values are plain text, so their
 * type is the schema's; without one, what reads as JSON is JSON.
 */
import type { Tool, ToolCall } from "../messages.ts";
import { type Json, type JsonObject, isJsonObject, parseJson } from "../../json.ts";

const call = /^\s*<function=([^<>\s]+)>([^]*)<\/function>\s*$/;
const parameter = /\s*<parameter=([^<>\s]+)>([^]*?)<\/parameter>\s*/y;

/** The call of a text, null where it is none. */
export function parseXml(text: string, tools: readonly Tool[]): readonly ToolCall[] | null {
  const [, name, body] = call.exec(text) ?? [];
  if (name === undefined || body === undefined) return null;
  const properties = tools.find((tool) => tool.function.name === name)?.function.parameters?.properties;
  const given = new Map<string, Json>();
  let at = 0;
  while (body.slice(at).trim() !== "") {
    parameter.lastIndex = at;
    const [, key, value] = parameter.exec(body) ?? [];
    if (key === undefined || value === undefined) return null;
    given.set(key, typed(value.replace(/^\n/, "").replace(/\n$/, ""), isJsonObject(properties) ? properties[key] : undefined));
    at = parameter.lastIndex;
  }
  return [{ name, arguments: Object.fromEntries(given) }];
}

/** A value of the type that the schema names. */
function typed(text: string, schema: Json | undefined): Json {
  if (isJsonObject(schema) && schema.type === "string") return text;
  const value = parseJson(text);
  return value === undefined ? (pythonConstants.get(text) ?? text) : value;
}

const pythonConstants: ReadonlyMap<string, boolean> = new Map([
  ["True", true],
  ["False", false],
]);

/** A call without its markers. */
export function writeXml({ name, arguments: given }: ToolCall): string {
  return `<function=${name}>\n${writeParameters(given)}</function>`;
}

function writeParameters(given: JsonObject): string {
  return Object.entries(given)
    .map(([key, value]) => `<parameter=${key}>\n${typeof value === "string" ? value : JSON.stringify(value)}\n</parameter>\n`)
    .join("");
}
