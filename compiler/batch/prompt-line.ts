/** A line of the input as its reader found it: a JSON line or a row of a table. What its fields must be is prepare.ts's. */
import type { LineError } from "./engine.ts";

export interface PromptLine {
  /** From 0. */
  readonly index: number;
  /** The JSON of its `id` as the input writes it; undefined where it has none. */
  readonly id: string | undefined;
  /** `prompt`, `tokens`, `messages` and the others; or why there are none. */
  readonly content: { readonly fields: Readonly<Record<string, unknown>> } | { readonly error: LineError };
}

/** A fault of a line's own. */
export function lineError(fact: string): LineError {
  return { code: "run/input", message: `line: ${fact}` };
}
