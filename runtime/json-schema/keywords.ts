/**
 * JSON schemas as records of assertions: which keywords are honoured, references and `allOf` resolved into one record, and whether two
 * schemas share no value.
 */
import { type Json, type JsonObject, isJsonObject } from "../json.ts";
import { LfmcError } from "../index.ts";

export type Schema = boolean | JsonObject;

/** Steps of work on one schema: joins, alternatives, comparisons. */
const mostWork = 50_000;

/** A whole schema, and the work that went into it: a few lines of references can ask for more than any machine can do. */
export class SchemaDocument {
  readonly root: Schema;
  #work = 0;

  constructor(root: Schema) {
    this.root = root;
  }

  /** Throws `run/input` where the schema asks for too much. */
  spend(path: string): void {
    if (++this.#work > mostWork) refuse(path, `takes more than ${mostWork} steps to read`, "Join fewer schemas.");
  }
}

export type Kind = "null" | "boolean" | "integer" | "number" | "string" | "array" | "object";

export const kinds: readonly Kind[] = ["null", "boolean", "number", "string", "array", "object"];

/** Keywords that assert nothing, or (definitions) only hold what others refer to. */
const annotations = new Set(
  (
    "title description default examples deprecated readOnly writeOnly $schema $id $comment $defs definitions discriminator " +
    "contentEncoding contentMediaType contentSchema"
  ).split(" "),
);

const assertions = new Set(
  (
    "type enum const anyOf oneOf properties required additionalProperties minProperties maxProperties items prefixItems additionalItems " +
    "minItems maxItems uniqueItems minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
  ).split(" "),
);

/** Throws `run/input`: a schema that cannot be honoured; `path` as a JSON pointer. */
export function refuse(path: string, fact: string, hint = "Leave it out, or say the same by other keywords."): never {
  throw new LfmcError("run/input", `${path}: ${fact}`, { subject: "schema", hint });
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** A schema at `path`; throws where it is none. */
export function asSchema(value: Json | undefined, path: string): Schema {
  return typeof value === "boolean" || isJsonObject(value)
    ? value
    : refuse(path, "is not a schema", "A schema is an object, true or false.");
}

/** The schema that a reference inside of `root` means. */
export function referred(root: Schema, reference: Json, path: string): Schema {
  if (typeof reference !== "string" || !/^#(?:\/|$)/.test(reference))
    return refuse(path, `refers to ${JSON.stringify(reference)}, outside of the schema`, "Only references that begin with # are followed.");
  let value: Json | undefined = root;
  for (const part of reference.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    value = typeof value === "object" ? own(value, key) : undefined;
  }
  if (value === undefined) return refuse(path, `refers to ${JSON.stringify(reference)}, which is not there`);
  return asSchema(value, path);
}

/** A property of the value's own. */
function own(value: object | null, key: string): Json | undefined {
  const found: readonly [string, Json] | undefined = Object.entries(value ?? {}).find(([name]) => name === key);
  return found?.[1];
}

/** The reference that is all a schema asserts, or null. */
export function onlyReference(schema: JsonObject): Json | null {
  return assertedKeys(schema).join() === "$ref" ? (schema.$ref ?? null) : null;
}

function assertedKeys(schema: JsonObject): readonly string[] {
  return Object.keys(schema).filter((key) => !annotations.has(key));
}

/**
 * What a schema asserts, without references and `allOf` at its top; false where that excludes itself. `depth` guards against endless
 * references.
 */
export function flatten(document: SchemaDocument, schema: Schema, path: string, depth = 0): Schema {
  document.spend(path);
  if (typeof schema === "boolean") return schema;
  if (depth > 64) return refuse(path, "refers to itself without end");
  const asserted: Record<string, Json> = {};
  for (const key of assertedKeys(schema)) {
    if (key === "$ref" || key === "allOf") continue;
    if (!assertions.has(key)) return refuse(path, `${JSON.stringify(key)} is not supported`);
    asserted[key] = schema[key] ?? null;
  }
  const { $ref: reference, allOf } = schema;
  if (allOf !== undefined && !isList(allOf)) return refuse(path, "allOf is not a list of schemas");
  const parts = [
    ...(reference === undefined ? [] : [referred(document.root, reference, path)]),
    ...(allOf ?? []).map((part, i) => asSchema(part, `${path}/allOf/${i}`)),
  ];
  return parts.map((part) => flatten(document, part, path, depth + 1)).reduce((all, part) => both(all, part, path), asserted);
}

/** What two flat schemas assert together. */
export function both(a: Schema, b: Schema, path: string): Schema {
  if (a === false || b === false) return false;
  if (a === true) return b;
  if (b === true) return a;
  if ([a.prefixItems, b.prefixItems].some((items) => items !== undefined)) refuse(path, "prefixItems is not supported in what allOf joins");
  const merged: Record<string, Json> = { ...a, ...propertiesOfBoth(a, b) };
  for (const [key, value] of Object.entries(b)) {
    const known = a[key];
    if (key !== "properties") merged[key] = known === undefined ? value : combined(key, known, value, path);
  }
  return merged;
}

/** A property that one of them does not list must be what it says of additional ones. */
function propertiesOfBoth(a: JsonObject, b: JsonObject): { readonly properties?: JsonObject } {
  const left = propertiesOf(a);
  const right = propertiesOf(b);
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  if (names.length === 0) return {};
  const inBoth = (name: string): Json => ({
    allOf: [own(left, name) ?? a.additionalProperties ?? true, own(right, name) ?? b.additionalProperties ?? true],
  });
  return { properties: Object.fromEntries(names.map((name) => [name, inBoth(name)])) };
}

function propertiesOf({ properties }: JsonObject): JsonObject {
  return isJsonObject(properties) ? properties : {};
}

function combined(key: string, a: Json, b: Json, path: string): Json {
  if (JSON.stringify(a) === JSON.stringify(b)) return a;
  switch (key) {
    case "required":
      return [...new Set([...(isList(a) ? a : []), ...(isList(b) ? b : [])])];
    case "type": {
      const wanted = kindsOf(b, path);
      return kindsOf(a, path).flatMap((kind) =>
        wanted.includes(kind) || (kind === "integer" && wanted.includes("number"))
          ? [kind]
          : kind === "number" && wanted.includes("integer")
            ? ["integer"]
            : [],
      );
    }
    case "enum":
      return (isList(a) ? a : []).filter((value) => isList(b) && b.some((other) => JSON.stringify(value) === JSON.stringify(other)));
    case "items":
    case "additionalProperties":
      return { allOf: [a, b] };
    case "minimum":
    case "exclusiveMinimum":
    case "minLength":
    case "minItems":
    case "minProperties":
      return Math.max(Number(a), Number(b));
    case "maximum":
    case "exclusiveMaximum":
    case "maxLength":
    case "maxItems":
    case "maxProperties":
      return Math.min(Number(a), Number(b));
    default:
      return refuse(path, `${JSON.stringify(key)} is asserted twice, differently`);
  }
}

/** The kinds that `type` names, or all. */
export function kindsOf(type: Json | undefined, path: string): readonly Kind[] {
  if (type === undefined) return kinds;
  return (isList(type) ? type : [type]).map(
    (name) => [...kinds, "integer" as const].find((kind) => kind === name) ?? refuse(path, `${JSON.stringify(name)} is not a type`),
  );
}

/** The values that a flat schema names, or null. */
export function valuesOf(schema: JsonObject, path: string): readonly Json[] | null {
  const { enum: named, const: only } = schema;
  if (named !== undefined && !isList(named)) return refuse(path, "enum is not a list");
  const values = named ?? (only === undefined ? null : [only]);
  return only === undefined ? values : (values?.filter((value) => JSON.stringify(value) === JSON.stringify(only)) ?? null);
}

/** The kind of a value; whole numbers are integers. */
export function kindOf(value: Json): Kind {
  if (value === null) return "null";
  if (isList(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value === "object" ? "object" : typeof value === "string" ? "string" : "boolean";
}

/** Whether no value can fit both, as far as that is plain to see: kinds, named values, or a required property in which they differ. */
export function areDisjoint(document: SchemaDocument, a: Schema, b: Schema, path: string, depth = 0): boolean {
  const left = flatten(document, a, path);
  const right = flatten(document, b, path);
  if (left === false || right === false) return true;
  if (left === true || right === true || depth > 8) return false;
  const branches = [left.anyOf, left.oneOf].find(isList);
  if (branches) return branches.every((branch) => areDisjoint(document, asSchema(branch, path), right, path, depth + 1));
  if ([right.anyOf, right.oneOf].some(isList)) return areDisjoint(document, right, left, path, depth + 1);
  const some = possible(left, path);
  const others = possible(right, path);
  const shared = some.kinds.filter((kind) => others.kinds.some((other) => overlaps(kind, other)));
  if (shared.length === 0) return true;
  if (some.values && others.values) {
    const texts = new Set(others.values.map((value) => JSON.stringify(value)));
    return !some.values.some((value) => texts.has(JSON.stringify(value)));
  }
  return shared.every((kind) => kind === "object") && differInProperty(document, left, right, path, depth);
}

function possible(schema: JsonObject, path: string): { readonly kinds: readonly Kind[]; readonly values: readonly Json[] | null } {
  const values = valuesOf(schema, path);
  return { kinds: values ? values.map(kindOf) : kindsOf(schema.type, path), values };
}

function overlaps(a: Kind, b: Kind): boolean {
  return a === b || (a === "integer" && b === "number") || (a === "number" && b === "integer");
}

function differInProperty(document: SchemaDocument, a: JsonObject, b: JsonObject, path: string, depth: number): boolean {
  const required = (schema: JsonObject): readonly Json[] => (isList(schema.required) ? schema.required : []);
  const names = required(a).filter((name) => required(b).includes(name));
  const property = (schema: JsonObject, name: string): Schema => asSchema(own(propertiesOf(schema), name) ?? true, path);
  return names.some((name) => typeof name === "string" && areDisjoint(document, property(a, name), property(b, name), path, depth + 1));
}
