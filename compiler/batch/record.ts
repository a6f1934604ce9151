/** A line of the output, and its JSON: the fields in one order, nothing that differs from run to run. */
import type { StopReason, Tokenizer } from "../../runtime/index.ts";
import { StopStrings } from "../../runtime/stop-strings.ts";
import type { BatchCompletion, LineError } from "./engine.ts";

/** What a completion comes to: text, and the tokens up to its end. */
export interface Answer {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly stopReason: StopReason;
}

/** What ends a text. */
export interface Ends {
  readonly stop: readonly string[];
  /** Beside those that the engine stops at. */
  readonly endTokens: readonly number[];
}

/**
 * The text of a completion as a session gives it, and the completion cut where a session would have ended it: at a stop text or an end token.
 * Of an engine that stops there itself, nothing is cut. Without a tokenizer there is no text.
 */
export function answerOf({ tokens, stopReason }: BatchCompletion, { stop, endTokens }: Ends, tokenizer: Tokenizer | null): Answer {
  const stops = new StopStrings(stop);
  const stream = tokenizer?.stream();
  let text = "";
  for (const [i, token] of tokens.entries()) {
    const shown = stops.push(stream?.push(token) ?? "");
    text += shown.text;
    if (shown.stopped) return { text, tokens: tokens.slice(0, i + 1), stopReason: "stop" };
    if (endTokens.includes(token)) return { text: text + restOf(stream, stops), tokens: tokens.slice(0, i + 1), stopReason: "eos" };
  }
  return { text: text + restOf(stream, stops), tokens, stopReason };
}

/** What was held back: half a character, or the beginning of a stop text. */
function restOf(stream: { flush(): string } | undefined, stops: StopStrings): string {
  const { text, stopped } = stops.push(stream?.flush() ?? "");
  return stopped ? text : text + stops.flush();
}

/** The line of a completion, without its end; `id` is JSON. */
export function completionLine(index: number, id: string | undefined, { text, tokens, stopReason }: Answer, promptTokens: number): string {
  return `${head(index, id)},${JSON.stringify({ text, tokens, promptTokens, stopReason }).slice(1)}`;
}

/** The line of an input line that has no completion. */
export function errorLine(index: number, id: string | undefined, { code, message }: LineError): string {
  return `${head(index, id)},${JSON.stringify({ error: { code, message } }).slice(1)}`;
}

function head(index: number, id: string | undefined): string {
  return `{"index":${index}${id === undefined ? "" : `,"id":${id}`}`;
}

/** A line of the output that was read back. */
export interface BatchRecord {
  readonly index: number;
  readonly text?: string;
  readonly tokens?: readonly number[];
  readonly promptTokens?: number;
  readonly stopReason?: string;
  readonly error?: LineError;
}

/** The record of a line that `completionLine` or `errorLine` wrote; null for anything else, such as half of one. */
export function parseRecord(line: string): BatchRecord | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is BatchRecord {
  if (typeof value !== "object" || value === null || !("index" in value)) return false;
  if ("error" in value) return typeof value.error === "object" && value.error !== null;
  return "tokens" in value && Array.isArray(value.tokens) && "promptTokens" in value && typeof value.promptTokens === "number";
}
