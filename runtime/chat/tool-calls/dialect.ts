/**
 * How models write the calls of tools, a row each. Which one a model speaks is seen from its chat template.
 */
import type { Tool, ToolCall } from "../messages.ts";
import { parseMixed, writePython } from "./python.ts";
import { parseXml, writeXml } from "./xml.ts";

/** How a model writes calls of tools. */
export interface Dialect {
  /** Whose it is. */
  readonly name: string;
  /** What the template of a model that speaks it says. */
  readonly told: RegExp;
  /** What stands round the calls. */
  readonly start: string;
  /** What ends them. */
  readonly end: string;
  /** Models also leave the markers out, and begin their answer with a list: `[name(…)]`. */
  readonly mayBeBare: boolean;
  /** The calls between the markers; null where it is none. Never throws. */
  parse(text: string, tools: readonly Tool[]): readonly ToolCall[] | null;
  /** Calls as the model would write them, markers and all. */
  write(calls: readonly ToolCall[]): string;
}

const markers = { start: "<|tool_call_start|>", end: "<|tool_call_end|>" };
const tags = { start: "<tool_call>", end: "</tool_call>" };

/** Every known way to write calls of tools; the first that a template tells of is the one. */
export const dialects: readonly Dialect[] = [
  {
    name: "lfm2",
    told: /<\|tool_call_start\|>|List of tools: /,
    ...markers,
    mayBeBare: true,
    parse: parseMixed,
    write: (calls) => `${markers.start}${writePython(calls)}${markers.end}`,
  },
  {
    name: "xml",
    told: /<function=/,
    ...tags,
    mayBeBare: false,
    parse: (text, tools) => parseXml(text, tools) ?? parseMixed(text, tools),
    write: (calls) => calls.map((call) => `${tags.start}\n${writeXml(call)}\n${tags.end}`).join("\n"),
  },
  {
    name: "json",
    told: /<tool_call>/,
    ...tags,
    mayBeBare: false,
    parse: parseMixed,
    write: (calls) => calls.map((call) => `${tags.start}\n${JSON.stringify(call)}\n${tags.end}`).join("\n"),
  },
];

/** The dialect of a model with this chat template, null where it tells of none. */
export function dialectOf(template: string): Dialect | null {
  return dialects.find(({ told }) => told.test(template)) ?? null;
}
