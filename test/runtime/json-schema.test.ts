/**
 * What a schema lets through: random tokens under its masks always end in a text that parses and fits, whatever the vocabulary; and nobody
 * can make it hang or lie. The checker here is written from the specification, apart from the grammar.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Json } from "../../runtime/json.ts";
import type { Constraint } from "../../runtime/constraint.ts";
import { type GrammarModel, jsonObject, jsonSchema, regex } from "../../runtime/json-schema/index.ts";
import { type Tokenizer, createTokenizer } from "../../runtime/tokenizer.ts";
import { createModel } from "../../runtime/model.ts";
import { demoTokenizer, fakeEngine, fakeManifest, refusal } from "./support.ts";

const eos = 2;

function modelOf(tokenizer: Tokenizer, vocabSize: number): GrammarModel {
  return { tokenizer, manifest: { tokens: { bos: 1, eos: [eos], pad: 0 }, model: { vocabSize } } };
}

/** Three special tokens, every byte, and a few tokens that cut JSON and characters at awkward places. */
function tinyModel(): GrammarModel {
  const alphabet = Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return { byte, isPrintable };
  });
  const others = alphabet.filter(({ isPrintable }) => !isPrintable);
  const letter = (byte: number): string => {
    const at = others.findIndex((entry) => entry.byte === byte);
    return String.fromCharCode(at < 0 ? byte : 256 + at);
  };
  const cut = ['":', '","', '"}', "}]", "[]", "12", "-1", "0.", '{"', 'é"', "\\u00", "null", ", "].map((text) => [
    ...new TextEncoder().encode(text),
  ]);
  const halves = [[0xc3], [0xa9, 0x22], [0xf0, 0x9f], [0x98, 0x80], [0xe2, 0x82]];
  const contents = [...alphabet.map(({ byte }) => [byte]), ...cut, ...halves].map((bytes) => bytes.map(letter).join(""));
  const specials = ["<pad>", "<s>", "</s>"];
  const vocab = Object.fromEntries([...specials, ...new Set(contents)].map((content, id) => [content, id]));
  const added = specials.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  const json = {
    version: "1.0",
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [] },
  };
  return modelOf(createTokenizer(json, {}, 1), Object.keys(vocab).length);
}

const demo = modelOf(demoTokenizer(), 4096);
const tiny = tinyModel();

function allowed(mask: Uint32Array | null, size: number): readonly number[] {
  return Array.from({ length: size }, (_, token) => token).filter((token) => ((mask?.[token >> 5] ?? 0) >>> (token & 31)) & 1);
}

/** A generator of numbers in [0, 1) from a seed. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/** Tokens that end a string, an object or an array. */
const closing: ReadonlyMap<GrammarModel, ReadonlySet<number>> = new Map(
  [demo, tiny].map((model) => {
    const ids = Array.from({ length: model.manifest.model.vocabSize }, (_, token) => token);
    return [model, new Set(ids.filter((id) => /^["}\]]/.test(text(model, [id]))))];
  }),
);

/**
 * Random tokens under the constraint until it ends, or null where that takes too long. Often one that closes something, so that texts end.
 */
function sampled(model: GrammarModel, constrain: Constraint, seed: number, most = 600): string | null {
  const next = random(seed);
  const tokens: number[] = [];
  for (let i = 0; i < most; i++) {
    const ids = allowed(constrain(tokens), model.manifest.model.vocabSize);
    if (ids.length === 0) throw new Error(`nothing may follow ${text(model, tokens)}`);
    if (ids.includes(eos) && (ids.length === 1 || next() < 0.5)) return text(model, tokens);
    const ends = ids.filter((id) => closing.get(model)?.has(id));
    const from = ends.length > 0 && next() < 0.4 ? ends : ids.filter((id) => id !== eos);
    tokens.push(from[Math.floor(next() * from.length)] ?? eos);
  }
  return null;
}

function text(model: GrammarModel, tokens: readonly number[]): string {
  const bytes = tokens.flatMap((token) => [...(model.tokenizer?.bytesOf(token) ?? [])]);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** Whether `constrain` lets a text through, byte by byte, to its end. */
function takes(schema: unknown, json: string): boolean {
  const constrain = jsonSchema(tiny, schema);
  const tokens: number[] = [];
  for (const byte of new TextEncoder().encode(json)) {
    const ids = allowed(constrain(tokens), tiny.manifest.model.vocabSize);
    const id = ids.find((token) => {
      const bytes = tiny.tokenizer?.bytesOf(token);
      return bytes?.length === 1 && bytes[0] === byte;
    });
    if (id === undefined) return false;
    tokens.push(id);
  }
  return allowed(constrain(tokens), tiny.manifest.model.vocabSize).includes(eos);
}

type Value = Json;
type Schema = boolean | Readonly<Record<string, unknown>>;

/** The specification's own words, for the keywords that the random schemas have. */
function fits(root: Schema, schema: unknown, value: Value): boolean {
  if (typeof schema === "boolean") return schema;
  if (typeof schema !== "object" || schema === null) throw new Error("no schema");
  return Object.entries(schema).every(([keyword, wanted]) => {
    const check = checks[keyword];
    if (check === undefined) throw new Error(`the checker does not know ${keyword}`);
    return check(value, wanted, Object.fromEntries(Object.entries(schema)), root);
  });
}

type Check = (value: Value, wanted: unknown, schema: Readonly<Record<string, unknown>>, root: Schema) => boolean;

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value.map((item: unknown) => item) : []);
const record = (value: unknown): ReadonlyMap<string, unknown> =>
  new Map(typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : []);
const isObject = (value: Value): boolean => typeof value === "object" && value !== null && !Array.isArray(value);
const isItems = (value: Value): value is readonly Value[] => Array.isArray(value);
const items = (value: Value): readonly Value[] => (isItems(value) ? value : []);
const entries = (value: Value): readonly (readonly [string, Value])[] =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const checks: Readonly<Record<string, Check>> = {
  $defs: () => true,
  $ref: (value, wanted, _, root) => {
    const name = String(wanted).split("/").at(-1) ?? "";
    return fits(root, record(record(root).get("$defs")).get(name), value);
  },
  type: (value, wanted) =>
    (Array.isArray(wanted) ? wanted : [wanted]).some((type) => {
      if (type === "null") return value === null;
      if (type === "array") return Array.isArray(value);
      if (type === "object") return isObject(value);
      if (type === "integer") return Number.isInteger(value);
      return typeof value === type;
    }),
  enum: (value, wanted) => list(wanted).some((one) => equal(one, value)),
  const: (value, wanted) => equal(wanted, value),
  anyOf: (value, wanted, _, root) => list(wanted).some((one) => fits(root, one, value)),
  oneOf: (value, wanted, _, root) => list(wanted).filter((one) => fits(root, one, value)).length === 1,
  allOf: (value, wanted, _, root) => list(wanted).every((one) => fits(root, one, value)),
  minLength: (value, wanted) => typeof value !== "string" || [...value].length >= Number(wanted),
  maxLength: (value, wanted) => typeof value !== "string" || [...value].length <= Number(wanted),
  minimum: (value, wanted) => typeof value !== "number" || value >= Number(wanted),
  maximum: (value, wanted) => typeof value !== "number" || value <= Number(wanted),
  exclusiveMinimum: (value, wanted) => typeof value !== "number" || value > Number(wanted),
  exclusiveMaximum: (value, wanted) => typeof value !== "number" || value < Number(wanted),
  multipleOf: (value, wanted) => typeof value !== "number" || Math.abs(value / Number(wanted) - Math.round(value / Number(wanted))) < 1e-6,
  minItems: (value, wanted) => !Array.isArray(value) || value.length >= Number(wanted),
  maxItems: (value, wanted) => !Array.isArray(value) || value.length <= Number(wanted),
  prefixItems: (value, wanted, _, root) =>
    items(value).every((item, i) => list(wanted)[i] === undefined || fits(root, list(wanted)[i], item)),
  items: (value, wanted, { prefixItems }, root) =>
    items(value)
      .slice(list(prefixItems).length)
      .every((item) => fits(root, wanted, item)),
  required: (value, wanted) => !isObject(value) || list(wanted).every((key) => entries(value).some(([name]) => name === key)),
  properties: (value, wanted, _, root) =>
    entries(value).every(([key, item]) => !record(wanted).has(key) || fits(root, record(wanted).get(key), item)),
  additionalProperties: (value, wanted, { properties }, root) =>
    entries(value).every(([key, item]) => record(properties).has(key) || fits(root, wanted, item)),
  maxProperties: (value, wanted) => entries(value).length <= Number(wanted),
};

function parse(json: string): Value {
  const value: unknown = JSON.parse(json);
  const isValue = (one: unknown): one is Value => one !== undefined;
  if (!isValue(value)) throw new Error("no JSON");
  return value;
}

const keys = fc.constantFrom("a", "b", "name", "naïve", 'say "hi"', "line\nend", "😀", "toString", "__proto__", "ab");
const decimals = fc.integer({ min: -3000, max: 3000 }).map((n) => n / 100);

const leaves: readonly fc.Arbitrary<Schema>[] = [
  fc.constantFrom<Schema>({ type: "null" }, { type: "boolean" }, { type: "integer" }, { type: "number" }, { type: ["integer", "null"] }),
  fc.tuple(fc.nat(4), fc.nat(12)).map(([min, more]) => ({ type: "string", minLength: min, maxLength: min + more })),
  fc.tuple(fc.integer({ min: -200, max: 200 }), fc.nat(300)).map(([min, more]) => ({ type: "integer", minimum: min, maximum: min + more })),
  fc.tuple(decimals, decimals).map(([a, b]) => ({ type: "number", minimum: Math.min(a, b), maximum: Math.max(a, b) })),
  fc
    .tuple(decimals, decimals)
    .map(([a, b]) => ({ type: "number", exclusiveMinimum: Math.min(a, b), exclusiveMaximum: Math.max(a, b) + 1 })),
  fc.constantFrom<Schema>(
    { type: "number", minimum: 0, multipleOf: 0.01 },
    { type: "integer", maximum: -7 },
    { type: "number", exclusiveMinimum: 0 },
  ),
  fc
    .uniqueArray(fc.oneof(fc.string({ maxLength: 6 }), fc.integer(), fc.constantFrom("é", "naïve", "a", "ab", null, true)), {
      minLength: 1,
      maxLength: 6,
    })
    .map((values) => ({ enum: values })),
  fc.jsonValue({ maxDepth: 2 }).map((value) => ({ const: value })),
];

const { schema: schemas } = fc.letrec<{ schema: Schema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    ...leaves,
    fc
      .tuple(tie("schema"), fc.nat(2), fc.nat(2))
      .map(([item, min, more]) => ({ type: "array", items: item, minItems: min, maxItems: min + more })),
    fc
      .array(tie("schema"), { minLength: 1, maxLength: 3 })
      .map((prefixItems) => ({ type: "array", prefixItems, items: false, minItems: prefixItems.length - 1 })),
    fc
      .tuple(fc.dictionary(keys, tie("schema"), { maxKeys: 4 }), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }))
      .map(([properties, picks]) => {
        const required = Object.keys(properties).filter((_, i) => picks[i]);
        return { type: "object", properties, required, additionalProperties: false };
      }),
    tie("schema").map((value) => ({
      type: "object",
      properties: { a: { type: "integer" } },
      required: ["a"],
      additionalProperties: value,
    })),
    tie("schema").map((value) => ({ type: "object", additionalProperties: value, maxProperties: 2 })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    fc.tuple(tie("schema"), tie("schema")).map(([a, b]) => ({
      oneOf: [a, b].map((value, i) => ({ type: "object", properties: { kind: { const: i }, value }, required: ["kind"] })),
    })),
  ),
}));

describe.each([
  ["the demo model's tokens", demo],
  ["awkward tokens", tiny],
])("random schemas, %s", (_, model) => {
  test("every text that ends parses and fits", { timeout: 60_000 }, () => {
    let ended = 0;
    let count = 0;
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        const json = sampled(model, jsonSchema(model, schema), seed);
        count++;
        if (json === null) return;
        ended++;
        expect(fits(schema, schema, parse(json)), `${json} does not fit ${JSON.stringify(schema)}`).toBe(true);
      }),
      { numRuns: 150 },
    );
    expect(ended / count).toBeGreaterThan(0.8);
  });
});

const tree = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: { value: { type: "integer" }, children: { type: "array", items: { $ref: "#/$defs/node" }, maxItems: 2 } },
      required: ["value"],
      additionalProperties: false,
    },
  },
};

describe("what is taken", () => {
  test.each<[string, unknown, readonly string[], readonly string[]]>([
    ["integers", { type: "integer" }, ["0", "-12", "7"], ["-0", "1.5", "01", "+1", "1e3", "", "-"]],
    ["numbers", { type: "number" }, ["0", "-0.5", "1e9", "2.50E-03"], [".5", "1.", "1e", "1e999", "NaN"]],
    ["bounds", { type: "integer", minimum: 5, maximum: 12 }, ["5", "9", "10", "12"], ["4", "13", "1", "50", "-5"]],
    ["open bounds", { type: "number", exclusiveMinimum: 0, maximum: 0.25 }, ["0.1", "0.25", "0.000001"], ["0", "0.0", "0.26", "-0.1", "1"]],
    ["negative bounds", { type: "number", minimum: -1.5, exclusiveMaximum: -0.5 }, ["-1.5", "-1", "-0.51"], ["-0.5", "-1.51", "0.7", "-2"]],
    ["bounds between integers", { type: "integer", minimum: -1.5, maximum: 2.5 }, ["-1", "0", "2"], ["-2", "3"]],
    [
      "bounds finer than the places",
      { type: "number", multipleOf: 0.1, minimum: -0.25, maximum: 0.25 },
      ["-0.2", "0.2"],
      ["-0.3", "0.3", "0.25"],
    ],
    ["large bounds", { type: "integer", minimum: 1e12 }, ["1000000000000", "999999999999999"], ["999999999999", "1e12"]],
    [
      "strings",
      { type: "string", minLength: 1, maxLength: 2 },
      ['"é"', '"\\n😀"', '"\\u0007"'],
      ['""', '"abc"', '"\n"', '"\\x"', '"\\u0041"'],
    ],
    ["enum", { enum: ["a", "ab", 1, 12, { x: [1] }] }, ['"a"', '"ab"', "1", "12", '{"x":[1]}'], ['"b"', "2", "121"]],
    ["enum and type", { type: "string", enum: ["a", 1] }, ['"a"'], ["1"]],
    [
      "layout",
      { type: "object", properties: { a: { type: "null" } } },
      ["{}", '{\n\t"a": null\n}', '{ "a":null }'],
      [" {}", "{}\n", '{  "a":null}', '{"a" :null}'],
    ],
    [
      "order",
      { properties: { a: true, b: true }, required: ["b"] },
      ['{"a":1,"b":2}', '{"b":{}}'],
      ['{"b":1,"a":2}', '{"a":1}', '{"c":1,"b":2}'],
    ],
    [
      "others",
      { properties: { ab: { type: "null" } }, additionalProperties: { type: "integer" } },
      ['{"ab":null,"a":1,"abc":2}', '{"":1}'],
      ['{"ab":1}', '{"a":null}', '{"c":1,"ab":null}'],
    ],
    [
      "recursion",
      tree,
      ['{"value":1,"children":[{"value":2},{"value":3,"children":[]}]}'],
      ['{"value":1,"children":[{}]}', '{"children":[]}'],
    ],
    ["tuples", { prefixItems: [{ type: "integer" }, { type: "null" }], minItems: 1 }, ["[1]", "[1,null]"], ["[]", "[null]", "[1,null,1]"]],
    ["old tuples", { items: [{ type: "integer" }], additionalItems: { type: "null" } }, ["[1,null,null]", "[]"], ["[null]", "[1,1]"]],
    [
      "allOf",
      { allOf: [{ properties: { a: { type: "integer" } } }, { properties: { a: { minimum: 3 } }, required: ["a"] }] },
      ['{"a":3}'],
      ['{"a":2}', "{}"],
    ],
    [
      "allOf and others",
      { allOf: [{ properties: { b: true }, additionalProperties: { type: "integer" } }, { properties: { a: { enum: [1, "x"] } } }] },
      ['{"b":"x","a":1}'],
      ['{"a":"x"}'],
    ],
    [
      "allOf and others, the other way",
      { allOf: [{ properties: { a: { enum: [1, "x"] } } }, { properties: { b: true }, additionalProperties: { type: "integer" } }] },
      ['{"a":1,"b":"x"}'],
      ['{"a":"x"}'],
    ],
    ["beside a reference", { $defs: { n: { type: "integer" } }, $ref: "#/$defs/n", maximum: 3, title: "n" }, ["3"], ["4"]],
    [
      "beside anyOf",
      { type: "object", required: ["k"], anyOf: [{ properties: { k: { const: 1 } } }, { properties: { k: { const: 2 } } }] },
      ['{"k":2}'],
      ["{}", '{"k":3}'],
    ],
    ["pointers", { type: "array", prefixItems: [{ type: "integer" }], items: { $ref: "#/prefixItems/0" } }, ["[1,2]"], ["[1,null]"]],
    ["anything", true, ["[[],{},null]", '"x"', '{"a":{"b":[1]}}'], ["", "nul", "[1,]"]],
  ])("%s", (_, schema, good, bad) => {
    for (const json of good) expect([json, takes(schema, json)]).toEqual([json, true]);
    for (const json of bad) expect([json, takes(schema, json)]).toEqual([json, false]);
  });

  test("alternatives that never end are not begun", () => {
    const endless = { type: "object", properties: { a: { $ref: "#/$defs/endless" } }, required: ["a"] };
    const schema = {
      $defs: { endless },
      anyOf: [{ const: 7 }, { $ref: "#/$defs/endless" }, { type: "array", items: { $ref: "#/$defs/endless" } }],
    };
    const first = allowed(jsonSchema(tiny, schema)([]), 300).map((id) => text(tiny, [id]));
    expect(first).toEqual(["7", "[", "[]"]);
    expect(takes(schema, "[]")).toBe(true);
  });

  test("an object of any content", () => {
    for (let seed = 0; seed < 20; seed++) {
      const json = sampled(demo, jsonObject(demo), seed);
      if (json !== null) expect(parse(json)).toBeTypeOf("object");
    }
    expect(allowed(jsonObject(tiny)([]), 300).map((id) => text(tiny, [id]))).toEqual(["{", '{"']);
  });

  test("blanks end: at most a line and its indent between two parts", () => {
    expect(takes({ type: "object" }, `{\n${" ".repeat(20)}}`)).toBe(true);
    expect(takes({ type: "object" }, `{\n${" ".repeat(21)}}`)).toBe(false);
    expect(takes({ type: "object" }, "{\n\n}")).toBe(false);
  });
});

describe("the constraint", () => {
  test("is a function of the tokens alone, in any order of calls", () => {
    const constrain = jsonSchema(demo, tree);
    const tokens = demo.tokenizer?.encode('{"value":12,"children":[{"value":3}]}', { addBos: false }) ?? [];
    const forward = tokens.map((_, i) => constrain(tokens.slice(0, i)));
    const backward = tokens.map((_, i) => constrain(tokens.slice(0, tokens.length - 1 - i))).reverse();
    expect(backward).toEqual(forward);
    expect(jsonSchema({ ...demo, tokenizer: demoTokenizer() }, tree)(tokens.slice(0, -1))).toEqual(forward.at(-1));
    expect(tokens.every((token, i) => allowed(forward[i] ?? null, 4096).includes(token))).toBe(true);
  });

  test("allows end tokens where the value is complete, and nothing else where nothing can follow", () => {
    const constrain = jsonSchema(tiny, { enum: [1, 12] });
    const id = (json: string): readonly number[] =>
      [...new TextEncoder().encode(json)].map(
        (byte) =>
          Array.from({ length: 300 }, (_, token) => token).find((token) => {
            const bytes = tiny.tokenizer?.bytesOf(token);
            return bytes?.length === 1 && bytes[0] === byte;
          }) ?? -1,
      );
    expect(allowed(constrain([]), 300)).not.toContain(eos);
    expect(allowed(constrain(id("1")), 300)).toEqual([eos, ...id("2")]);
    expect(allowed(constrain(id("12")), 300)).toEqual([eos]);
    expect(allowed(constrain(id("1")), 300)).toEqual([eos, ...id("2")]);
  });

  test("refuses tokens that it did not allow", async () => {
    const tokens = demo.tokenizer?.encode("no JSON", { addBos: false }) ?? [];
    expect(await refusal(() => jsonSchema(demo, true)(tokens))).toMatchObject({ code: "run/input" });
  });

  test("holds a generation to the schema, greedy and sampled, and ends it", async () => {
    const { tokenizer } = tiny;
    const vocabSize = tiny.manifest.model.vocabSize;
    const manifest = fakeManifest({ vocabSize, eos: [eos], context: 200 });
    const schema = {
      type: "object",
      properties: { a: { enum: [true, "é"] }, b: { type: "integer", maximum: 99, minimum: -9 } },
      required: ["a", "b"],
    };
    for (const temperature of [0, 1.5]) {
      const model = createModel({ manifest, engine: fakeEngine(manifest), tokenizer });
      const session = model.createSession();
      const { text: json, stopReason } = await session.complete([5, 6, 7], { temperature, seed: 4, constrain: jsonSchema(model, schema) });
      expect(stopReason).toBe("eos");
      expect(fits(schema, schema, parse(json))).toBe(true);
    }
  });
});

describe("what is refused", () => {
  const deep = Array.from({ length: 200 }, (_, i) => i).reduce<object>((inner) => ({ type: "array", items: inner }), {});
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;

  test.each<[string, unknown, string]>([
    ["a number", 5, "is not a schema"],
    ["text that is no JSON", "{", "is not JSON"],
    ["what JSON cannot say", () => 1, "is not JSON"],
    ["a cycle of objects", cyclic, "is not JSON"],
    ["depth", deep, "too deep"],
    ["size", { enum: ["x".repeat(2 ** 20)] }, "characters"],
    [
      "unknown keywords",
      { properties: { a: { type: "string", unevaluatedItems: false } } },
      '#/properties/a: "unevaluatedItems" is not supported',
    ],
    ["uniqueItems", { type: "array", uniqueItems: true }, "uniqueItems"],
    ["not", { not: { type: "null" } }, '"not"'],
    ["other documents", { $ref: "other.json#/a" }, "outside of the schema"],
    ["references to nothing", { $ref: "#/$defs/a" }, "is not there"],
    ["references to themselves", { $ref: "#" }, "nothing can fit"],
    [
      "circles of references",
      { $ref: "#/$defs/a", minimum: 1, $defs: { a: { $ref: "#/$defs/b", minimum: 2 }, b: { $ref: "#/$defs/a", minimum: 3 } } },
      "without end",
    ],
    ["recursion that never ends", { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "nothing can fit"],
    ["false", false, "nothing can fit"],
    ["bounds that exclude each other", { type: "integer", minimum: 3, maximum: 2 }, "nothing can fit"],
    ["nothing between", { type: "integer", exclusiveMinimum: 2, exclusiveMaximum: 3 }, "nothing can fit"],
    ["types that are none", { type: "int" }, '"int" is not a type'],
    ["counts that are none", { type: "string", maxLength: -1 }, "maxLength is not a count"],
    ["oneOf that may overlap", { oneOf: [{ type: "integer" }, { type: "number" }] }, "may share values"],
    ["multipleOf", { type: "integer", multipleOf: 3 }, "multipleOf 3"],
    ["growing schemas", { $ref: "#/$defs/a", $defs: { a: { properties: { x: { $ref: "#/$defs/a", required: ["y"] } } } } }, "schemas deep"],
  ])("%s", async (_, schema, fact) => {
    const error = await refusal(() => jsonSchema(tiny, schema));
    expect(error.code).toBe("run/input");
    expect(error.message).toMatch(/^schema: /);
    expect(error.message).toContain(fact);
  });

  test("a model without a tokenizer", async () => {
    const { code, message } = await refusal(() => jsonObject({ ...demo, tokenizer: null }));
    expect(code).toBe("run/input");
    expect(message).toContain("needs a tokenizer");
  });
});

/** Random texts under a pattern, and whether the engine's own expressions take them. */
describe("patterns", () => {
  const patterns = [
    String.raw`[A-Z]{2}-\d{3,5}`,
    String.raw`(?:foo|ba[rz])+\.(txt|é)?`,
    "[^a-y]?z{0,3}",
    "a*?b+?c??",
    "[é-ü😀-😅]{2}",
    String.raw`\w+\s\S{1,3}[\]\-x\d]`,
    String.raw`\u{1F600}\x41\t?"[\\"]`,
    "(?<year>19|20)|^$|",
    "((a|b)(c|d)?){1,3}",
    ".{3}",
  ];

  test("classes hold exactly their characters", () => {
    const point = fc.oneof(fc.nat(0x2ff), fc.nat(0xffff), fc.nat(0x10ffff)).filter((code) => code < 0xd800 || code > 0xdfff);
    fc.assert(
      fc.property(point, point, fc.array(point, { minLength: 1, maxLength: 4 }), fc.nat(3), (a, b, others, shift) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const pattern = String.raw`^[\u{${first.toString(16)}}-\u{${last.toString(16)}}]$`;
        for (const code of [first, last, first + shift, last + shift, last - shift, ...others]) {
          if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) continue;
          const isIn = code >= first && code <= last;
          expect([code, takes({ pattern }, JSON.stringify(String.fromCodePoint(code)))]).toEqual([code, isIn]);
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each(patterns)("%s, as a whole text", (source) => {
    const whole = new RegExp(`^(?:${source})$`, "u");
    for (let seed = 0; seed < 25; seed++) {
      const found = sampled(seed % 2 === 0 ? demo : tiny, regex(seed % 2 === 0 ? demo : tiny, source), seed * 77, 60);
      if (found !== null) expect(found).toMatch(whole);
    }
  });

  test.each(patterns.filter((source) => !source.includes("^$")))("%s, in a schema", (source) => {
    const pattern = `^(?:${source})$`;
    const schema = { type: "array", items: { type: "string", pattern }, minItems: 1, maxItems: 1 };
    let count = 0;
    for (let seed = 0; seed < 25; seed++) {
      const found = sampled(tiny, jsonSchema(tiny, schema), seed * 77, 200);
      if (found === null) continue;
      count++;
      expect(items(parse(found))[0]).toMatch(new RegExp(pattern, "u"));
    }
    expect(count).toBeGreaterThan(5);
  });

  test.each<[string, readonly string[], readonly string[]]>([
    ["^ab", ["ab", "abc\n"], ["xab", "a"]],
    ["b$", ["b", "ab"], ["ba"]],
    ["^a|b$", ["ax", "xb"], ["xa", "bx"]],
    ["x", ["x", '"x\u0001'], ["", "y"]],
    ["^$", [""], ["a"]],
  ])("%s in a schema holds where its anchors say", (pattern, good, bad) => {
    for (const value of good) expect([value, takes({ pattern }, JSON.stringify(value))]).toEqual([value, true]);
    for (const value of bad) expect([value, takes({ pattern }, JSON.stringify(value))]).toEqual([value, false]);
  });

  test.each<[string, readonly string[], readonly string[]]>([
    ["date", ["2024-02-28", "1999-12-31"], ["2024-02-30", "2024-13-01", "24-01-01"]],
    ["date-time", ["2024-02-28T23:59:59Z", "2024-02-28T00:00:00.5+01:00"], ["2024-02-28", "2024-02-28T24:00:00Z"]],
    ["email", ["a.b@c.org"], ["a@b", "a..b@c.org", "@c.org"]],
    ["uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
    ["ipv4", ["255.0.10.199"], ["256.0.0.1", "1.2.3"]],
    ["int32", ["anything"], []],
  ])("format %s", (format, good, bad) => {
    for (const value of good) expect([value, takes({ type: "string", format }, JSON.stringify(value))]).toEqual([value, true]);
    for (const value of bad) expect([value, takes({ type: "string", format }, JSON.stringify(value))]).toEqual([value, false]);
  });

  test.each(["(", "a**", "(?=a)", "(?<!a)b", String.raw`(a)\1`, String.raw`\bx`, String.raw`\p{L}`, "a^b", "(a$)", "a{20000}", "[b-a]"])(
    "%s is refused",
    async (source) => {
      const { code, message } = await refusal(() => regex(tiny, source));
      expect(code).toBe("run/input");
      expect(message).toContain(source);
    },
  );

  test.each(["(a+)+b", "(a|a)*b", "(a*)*", "((a{0,99}){0,99}){0,99}b", "(x+x+)+y", "(.*)*(.*)*z"])("%s takes no time", (source) => {
    const started = performance.now();
    try {
      const constrain = regex(tiny, source);
      for (let i = 0; i < 40; i++) constrain(Array.from({ length: i }, () => allowed(constrain([]), 300)[0] ?? 0));
    } catch (error) {
      expect(error).toMatchObject({ code: "run/input" });
    }
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe("hostile schemas take no time", () => {
  const many = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
  /** Thirty definitions, each made of the next. */
  const chain = (make: (next: object) => object): object => {
    const definitions: readonly (readonly [string, object])[] = many(30).map((i) => [`d${i}`, make({ $ref: `#/$defs/d${i + 1}` })]);
    return { $ref: "#/$defs/d0", $defs: { ...Object.fromEntries(definitions), d30: { type: "string" } } };
  };

  test.each<[string, unknown]>([
    ["a huge enum", { enum: many(50_000).map((i) => `value ${i * 7919}`) }],
    ["many optional properties", { properties: Object.fromEntries(many(1500).map((i) => [`p${i}`, { type: "integer" }])) }],
    ["many properties and others", { properties: Object.fromEntries(many(1500).map((i) => [`p${i}`, true])), additionalProperties: true }],
    [
      "many alternatives",
      { anyOf: many(800).map((i) => ({ type: "object", properties: { kind: { const: i }, a: { type: "string" } }, required: ["kind"] })) },
    ],
    ["large counts", { type: "array", minItems: 1e9, items: { type: "string", minLength: 1e6, maxLength: 1e9 } }],
    [
      "optional items in optional items",
      many(20).reduce<object>((inner) => ({ anyOf: [inner, { type: "array", items: inner }] }), { type: "null" }),
    ],
    ["exponential joins", chain((next) => ({ allOf: [next, next], minLength: 1 }))],
    ["exponential alternatives", chain((next) => ({ anyOf: [{ maxLength: 5 }, { minLength: 3 }], allOf: [next] }))],
    [
      "comparisons of comparisons",
      { oneOf: many(60).map(() => ({ anyOf: many(60).map((i) => ({ anyOf: many(9).map((j) => ({ const: i * 9 + j })) })) })) },
    ],
  ])("%s", (_, schema) => {
    const started = performance.now();
    try {
      const constrain = jsonSchema(demo, schema);
      const tokens: number[] = [];
      for (let i = 0; i < 8; i++) tokens.push(allowed(constrain(tokens), 4096).at(i) ?? 0);
    } catch (error) {
      expect(error).toMatchObject({ code: "run/input", subject: "schema" });
    }
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
