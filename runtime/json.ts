/** Values that JSON can say, and texts that may not be JSON. */

/** Deeper values are refused: nothing asks for them, and they exhaust the stack. */
export const deepest = 64;

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
/** An object of JSON. */
export interface JsonObject {
  readonly [key: string]: Json;
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
