/** Turns valibot's verdict into lfmc's: the parsed value, or one `LfmcError` naming the file, the key, the value and what was expected. */
import * as v from "valibot";
import { LfmcError, printable } from "../errors.ts";

/** The file is not what it should be: throws `config/invalid`. */
export function invalid(file: string, fact: string, hint: string): never {
  throw new LfmcError("config/invalid", fact, { subject: file, hint });
}

/** The file asks for something that lfmc does not do: throws `config/unsupported`. */
export function unsupported(file: string, fact: string, hint: string): never {
  throw new LfmcError("config/unsupported", fact, { subject: file, hint });
}

/** `json` as the schema's output; the first fault throws `config/invalid`. Messages of the schema complete "expected …". */
export function parseWith<T>(schema: v.GenericSchema<unknown, T>, json: unknown, file: string): T {
  const result = verdict(schema, json, file);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const key = v.getDotPath(issue) ?? "the file";
  return invalid(file, `${key} is ${shown(issue.input)}; expected ${issue.message}`, `correct ${key} in ${file}`);
}

/** Schemas of any JSON follow it down. */
function verdict<T>(schema: v.GenericSchema<unknown, T>, json: unknown, file: string): v.SafeParseResult<v.GenericSchema<unknown, T>> {
  try {
    return v.safeParse(schema, json);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return invalid(file, "is nested too deeply", `correct ${file}`);
  }
}

/** A plain JSON object, or `config/invalid`. */
export function objectOf(json: unknown, file: string): Readonly<Record<string, unknown>> {
  if (!isRecord(json)) return invalid(file, `holds ${shown(json)}; expected a JSON object`, "is this the model's config.json?");
  return json;
}

/** Whether `json` is an object with keys, not a list and not null. */
export function isRecord(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** A JSON value for a message, cut to a readable length, with nothing in it that a terminal would obey. */
export function shown(value: unknown): string {
  const text = value === undefined ? "absent" : printable(jsonText(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "nested too deeply";
  }
}

/** The first few of a list of warnings about `what`, and how many more there are. */
export function firstWarnings(warnings: readonly string[], what: string): readonly string[] {
  const most = 8;
  return warnings.length <= most ? warnings : [...warnings.slice(0, most), `and ${warnings.length - most} more ${what}`];
}
