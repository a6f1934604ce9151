/**
 * A JSON schema as a grammar of the texts that fit it, narrower where that reads better: properties come in the order in which they are
 * listed; those that are not listed only where `additionalProperties` says so, or none is listed; a schema without `type` is of the kind
 * that its keywords are about.
 */
import { type Json, type JsonObject, isJsonObject } from "../json.ts";
import { anyArray, anyInteger, anyNumber, anyObject, anyValue, arrayOf, objectOf, quoted, stringOf } from "./json.ts";
import { jsonCharacter } from "./characters.ts";
import { decimal } from "./decimals.ts";
import { formatPatterns, unsupportedFormats } from "./formats.ts";
import { type Item, choice, literals, never, rule } from "./items.ts";
import {
  type Kind,
  type Schema,
  SchemaDocument,
  areDisjoint,
  asSchema,
  both,
  flatten,
  isList,
  kindOf,
  kindsOf,
  kinds,
  onlyReference,
  referred,
  refuse,
  valuesOf,
} from "./keywords.ts";
import { patternGrammar } from "./pattern.ts";

/** How deep schemas lie in each other; deeper is nobody's schema. */
const mostDepth = 64;

/** Keywords by the kind that they are about. */
const keywordsOf: Readonly<Partial<Record<Kind, readonly string[]>>> = {
  object: ["properties", "required", "additionalProperties", "minProperties", "maxProperties"],
  array: ["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
};

/** The grammar of `root`, parsed JSON. Throws `run/input` for a schema that is wrong, or that the grammar cannot hold texts to. */
export function schemaGrammar(root: Json): Item {
  return new Compiler(asSchema(root, "#")).compile(asSchema(root, "#"), "#", 0);
}

class Compiler {
  readonly #document: SchemaDocument;
  /** Grammars of what references mean; null while one is being made. */
  readonly #referred = new Map<Schema, Item | null>();

  constructor(root: Schema) {
    this.#document = new SchemaDocument(root);
  }

  compile(schema: Schema, path: string, depth: number): Item {
    if (depth > mostDepth) return refuse(path, `lies more than ${mostDepth} schemas deep`);
    if (typeof schema !== "boolean") {
      const reference = onlyReference(schema);
      if (reference !== null) return this.#reference(reference, path, depth);
    }
    const flat = flatten(this.#document, schema, path);
    if (typeof flat === "boolean") return flat ? anyValue : never;
    return this.#alternatives(flat, path, depth) ?? this.#values(flat, path) ?? this.#kinds(flat, path, depth);
  }

  #reference(reference: Json, path: string, depth: number): Item {
    const schema = referred(this.#document.root, reference, path);
    if (typeof schema === "boolean") return schema ? anyValue : never;
    if (!this.#referred.has(schema)) {
      this.#referred.set(schema, null);
      this.#referred.set(schema, this.compile(schema, path, depth + 1));
    }
    return rule(() => this.#referred.get(schema) ?? never);
  }

  /** anyOf and oneOf: what is beside them holds for each alternative. */
  #alternatives(flat: JsonObject, path: string, depth: number): Item | null {
    const { anyOf, oneOf, ...beside } = flat;
    if (anyOf === undefined && oneOf === undefined) return null;
    if (anyOf !== undefined && oneOf !== undefined) return refuse(path, "anyOf and oneOf beside each other are not supported");
    const keyword = anyOf === undefined ? "oneOf" : "anyOf";
    const list = anyOf ?? oneOf;
    if (!isList(list) || list.length === 0) return refuse(path, `${keyword} is not a list of schemas`);
    const schemas = list.map((part, i) => asSchema(part, `${path}/${keyword}/${i}`));
    if (oneOf !== undefined) this.#checkOne(schemas, path);
    const isBare = Object.keys(beside).length === 0;
    return choice(
      ...schemas.map((part, i) => {
        const place = `${path}/${keyword}/${i}`;
        return this.compile(isBare ? part : both(beside, flatten(this.#document, part, place), place), place, depth + 1);
      }),
    );
  }

  #checkOne(schemas: readonly Schema[], path: string): void {
    if (schemas.length > 100) refuse(path, "oneOf has more than 100 alternatives", "Use anyOf.");
    for (const [i, schema] of schemas.entries())
      for (const other of schemas.slice(0, i))
        if (!areDisjoint(this.#document, schema, other, path))
          refuse(path, "alternatives of oneOf may share values", "Use anyOf, or tell them apart by a required property with a const.");
  }

  /** enum and const: their texts, compact. */
  #values(flat: JsonObject, path: string): Item | null {
    const values = valuesOf(flat, path);
    if (values === null) return null;
    const { type, enum: _, const: __, ...beside } = flat;
    const others = Object.keys(beside);
    if (others.length > 0) return refuse(path, `${JSON.stringify(others[0])} beside enum or const is not supported`);
    const allowed = kindsOf(type, path);
    const fits = (kind: Kind): boolean => allowed.includes(kind) || (kind === "integer" && allowed.includes("number"));
    return literals(values.filter((value) => fits(kindOf(value))).map((value) => JSON.stringify(value)));
  }

  #kinds(flat: JsonObject, path: string, depth: number): Item {
    const about = kinds.filter((kind) => keywordsOf[kind]?.some((keyword) => flat[keyword] !== undefined));
    const wanted = flat.type === undefined && about.length > 0 ? about : kindsOf(flat.type, path);
    if (wanted.length === kinds.length && about.length === 0) return anyValue;
    return choice(...Array.from(new Set(wanted), (kind) => this.#kind(kind, flat, path, depth)));
  }

  #kind(kind: Kind, flat: JsonObject, path: string, depth: number): Item {
    switch (kind) {
      case "null":
        return literals(["null"]);
      case "boolean":
        return literals(["true", "false"]);
      case "integer":
      case "number":
        return numberItem(kind, flat, path);
      case "string":
        return stringItem(flat, path);
      case "array":
        return this.#array(flat, path, depth);
      case "object":
        return this.#object(flat, path, depth);
    }
  }

  #array(flat: JsonObject, path: string, depth: number): Item {
    const { items, prefixItems, additionalItems, uniqueItems = false } = flat;
    if (uniqueItems !== false) return refuse(path, "uniqueItems is not supported");
    const [min, max] = [count(flat, "minItems", 0, path), count(flat, "maxItems", Infinity, path)];
    const isOld = isList(items);
    const prefix = isOld ? items : (prefixItems ?? []);
    if (!isList(prefix)) return refuse(path, "prefixItems is not a list");
    const rest = isOld ? additionalItems : items;
    if (prefix.length === 0 && rest === undefined && min === 0 && max === Infinity) return anyArray;
    const place = `${path}/${isOld ? "items" : "prefixItems"}`;
    const first = prefix.map((part, i) => this.compile(asSchema(part, place), `${place}/${i}`, depth + 1));
    // Without a word on the items after the listed ones there are none, unless they are needed.
    const isClosed = rest === false || (rest === undefined && prefix.length > 0 && min <= prefix.length);
    const restPath = `${path}/${isOld ? "additionalItems" : "items"}`;
    const item = isClosed ? never : rest === undefined ? anyValue : this.compile(asSchema(rest, restPath), restPath, depth + 1);
    return arrayOf(first, item, min, isClosed ? Math.min(max, prefix.length) : max);
  }

  #object(flat: JsonObject, path: string, depth: number): Item {
    const { properties = {}, required = [], additionalProperties } = flat;
    if (!isJsonObject(properties)) return refuse(path, "properties is not an object");
    if (!isList(required)) return refuse(path, "required is not a list");
    const [min, max] = [count(flat, "minProperties", 0, path), count(flat, "maxProperties", Infinity, path)];
    const names = required.map((name) => (typeof name === "string" ? name : refuse(path, "required is not a list of names")));
    const listed = new Set([...Object.keys(properties), ...names]);
    if (listed.size === 0 && additionalProperties === undefined && min === 0 && max === Infinity) return anyObject;
    const more = asSchema(additionalProperties ?? listed.size === 0, path);
    const isOpen = more !== false;
    const value = isOpen ? this.compile(more, `${path}/additionalProperties`, depth + 1) : never;
    // Keys that are not listed may come twice, which counts once.
    const isCounted = listed.size === 0 ? min <= 1 : min <= names.length && max >= listed.size && (max === Infinity || !isOpen);
    if (!isCounted) return refuse(path, "these counts of properties are not supported", "List the properties, and require some of them.");
    return objectOf(
      [...listed].map((key) => {
        const schema = Object.hasOwn(properties, key) ? properties[key] : (additionalProperties ?? true);
        const place = `${path}/properties/${key}`;
        return { key, value: this.compile(asSchema(schema, place), place, depth + 1), isRequired: names.includes(key) };
      }),
      { value, min: listed.size === 0 ? min : 0, max: isOpen ? (listed.size === 0 ? max : Infinity) : 0 },
    );
  }
}

function numberItem(kind: "integer" | "number", flat: JsonObject, path: string): Item {
  const bound = (keyword: string): number | undefined => {
    const value = flat[keyword];
    return value === undefined || typeof value === "number" ? value : refuse(path, `${keyword} is not a number`);
  };
  const step = bound("multipleOf");
  const places = kind === "integer" || step === 1 ? 0 : step === undefined ? null : Math.round(-Math.log10(step));
  if (
    step !== undefined &&
    (kind === "integer" ? step !== 1 : places === null || places < 0 || places > 6 || Number(`1e-${places}`) !== step)
  )
    return refuse(path, `multipleOf ${step} is not supported`, "Powers of ten from 1 down to 0.000001 are; integers have 1.");
  const bounds = {
    minimum: bound("minimum"),
    maximum: bound("maximum"),
    exclusiveMinimum: bound("exclusiveMinimum"),
    exclusiveMaximum: bound("exclusiveMaximum"),
  };
  if (Object.values(bounds).some((value) => value !== undefined)) return decimal(bounds, places);
  return places === 0 ? anyInteger : places === null ? anyNumber : decimal(bounds, places);
}

function stringItem(flat: JsonObject, path: string): Item {
  const { pattern, format } = flat;
  const [min, max] = [count(flat, "minLength", 0, path), count(flat, "maxLength", Infinity, path)];
  if (pattern !== undefined && typeof pattern !== "string") return refuse(path, "pattern is not a text");
  const byFormat = typeof format === "string" ? formatPattern(format, path) : null;
  const source = pattern ?? byFormat;
  if (source === null) return stringOf(min, max);
  if (min > 0 || max !== Infinity || (pattern !== undefined && byFormat !== null))
    return refuse(path, "pattern, format and lengths beside each other are not supported", "Say all of it by one pattern.");
  return quoted(patternGrammar(source, jsonCharacter, false));
}

/** null for formats that assert nothing. */
function formatPattern(format: string, path: string): string | null {
  if (unsupportedFormats.has(format)) refuse(path, `format ${JSON.stringify(format)} is not supported`, "Use a pattern.");
  return formatPatterns.get(format) ?? null;
}

function count(flat: JsonObject, keyword: string, byDefault: number, path: string): number {
  const value = flat[keyword] ?? byDefault;
  if (value === Infinity || (typeof value === "number" && Number.isSafeInteger(value) && value >= 0)) return value;
  return refuse(path, `${keyword} is not a count`);
}
