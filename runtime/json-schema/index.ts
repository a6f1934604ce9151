/** Output that fits a JSON schema or a pattern, as a constraint for `session.generate`: `{ constrain: jsonSchema(model, schema) }`. */
import { parseJson } from "../json.ts";
import type { Constraint } from "../constraint.ts";
import { LfmcError } from "../index.ts";
import { character } from "./characters.ts";
import { type GrammarModel, grammarConstraint } from "./constraint.ts";
import { anyObject } from "./json.ts";
import { patternGrammar } from "./pattern.ts";
import { schemaGrammar } from "./schema.ts";

export type { GrammarModel } from "./constraint.ts";

/** Characters of a schema's text. */
const mostText = 2 ** 20;

/**
 * Holds a generation to texts that fit `schema`, a JSON schema (2020-12 or draft 7), parsed or as text; it ends where the value is
 * complete. Throws `run/input`, subject "schema", for what it cannot hold a text to, and for a model without a tokenizer.
 */
export function jsonSchema(model: GrammarModel, schema: unknown): Constraint {
  const text = typeof schema === "string" ? schema : written(schema);
  if (text.length > mostText) throw wrongSchema(`has ${text.length} characters, more than ${mostText}`);
  const parsed = parseJson(text);
  if (parsed === undefined) throw wrongSchema("is not JSON, or too deep");
  return grammarConstraint(model, text, () => schemaGrammar(parsed));
}

/** Holds a generation to a JSON object, whatever is in it. Throws as `jsonSchema` does. */
export function jsonObject(model: GrammarModel): Constraint {
  return grammarConstraint(model, "object", () => anyObject);
}

/**
 * Holds a generation to texts that a regular expression (ECMAScript, flag u) matches as a whole. Throws `run/input`, subject "pattern", for
 * what is none or looks around or back, and for a model without a tokenizer.
 */
export function regex(model: GrammarModel, source: string): Constraint {
  return grammarConstraint(model, `/${source}/`, () => patternGrammar(source, character, true));
}

/** Empty, which is no JSON, for what JSON cannot say. */
function written(schema: unknown): string {
  try {
    const text: unknown = JSON.stringify(schema);
    return typeof text === "string" ? text : "";
  } catch {
    return "";
  }
}

function wrongSchema(fact: string): LfmcError {
  return new LfmcError("run/input", fact, { subject: "schema", hint: "Give a JSON schema: an object, true or false." });
}
