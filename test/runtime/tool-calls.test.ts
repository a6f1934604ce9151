/** Calls of tools in an answer that comes in pieces: what is a call, what is text, and that nothing is lost between the two. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Json, JsonObject } from "../../runtime/json.ts";
import type { Tool, ToolCall } from "../../runtime/chat/index.ts";
import { type Dialect, dialects } from "../../runtime/chat/tool-calls/dialect.ts";
import { type ChatEvent, ToolCallStream, longestCall } from "../../runtime/chat/tool-calls/stream.ts";

const tools: readonly Tool[] = ["get_weather", "f", "Calendar.create_event"].map((name) => ({
  type: "function",
  function: {
    name,
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" }, code: { type: "string" }, any: {} },
    },
  },
}));

function dialect(name: string): Dialect {
  const found = dialects.find((row) => row.name === name);
  if (!found) throw new Error(`no dialect ${name}`);
  return found;
}

/** The events of an answer in these pieces, texts joined. */
function events(name: string, pieces: readonly string[]): readonly ChatEvent[] {
  const stream = new ToolCallStream(dialect(name), tools);
  const all = [...pieces.flatMap((piece) => stream.push(piece)), ...stream.flush()];
  return all.reduce<readonly ChatEvent[]>((done, event) => {
    const last = done.at(-1);
    const joins = event.text !== undefined && last?.text !== undefined;
    return joins ? [...done.slice(0, -1), { text: last.text + event.text }] : [...done, event];
  }, []);
}

function calls(name: string, text: string): readonly ToolCall[] {
  return events(name, [text]).flatMap(({ toolCall }) => toolCall ?? []);
}

const marked = (list: string): string => `<|tool_call_start|>${list}<|tool_call_end|>`;
const call = (name: string, given: JsonObject): ChatEvent => ({ toolCall: { name, arguments: given } });

describe("LFM2's calls", () => {
  const cases: readonly (readonly [string, JsonObject])[] = [
    ['city="Paris", days=3', { city: "Paris", days: 3 }],
    ["", {}],
    ["city='it'", { city: "it" }],
    ["x=[1, {'a': None, \"b\": (True, False)}], y=True", { x: [1, { a: null, b: [true, false] }], y: true }],
    ["x=true, y=false, z=null", { x: true, y: false, z: null }],
    ["x=-1.5e3, y=+2, z=.5, u=1_000, v=007, w=1.", { x: -1500, y: 2, z: 0.5, u: 1000, v: 7, w: 1 }],
    ["x=(), y=(1,), z=(1), u=(1, 2,), v=[], w={}", { x: [], y: [1], z: 1, u: [1, 2], v: [], w: {} }],
    ["x={1: 'a', 'b': 2,}", { x: { "1": "a", b: 2 } }],
    ['x="a\\nb\\tc\\\\d\\"e\\\'f\\/g"', { x: "a\nb\tc\\d\"e'f/g" }],
    ['x="\\x41\\u00e9\\U0001F600\\ud83d\\ude00\\q\\\\n"', { x: "Aé😀😀\\q\\n" }],
    ['x="""a "quoted" one\nand \'two\'"""', { x: "a \"quoted\" one\nand 'two'" }],
    ["x='it's fine', y='a'", { x: "it's fine", y: "a" }],
    ["code=\"print('hi')\\nplot(label='')\"", { code: "print('hi')\nplot(label='')" }],
    ['x="a\nb"', { x: "a\nb" }],
    ['"Paris", 3', { city: "Paris", days: 3 }],
    ['"Paris", days=3', { city: "Paris", days: 3 }],
    ['**{"a-b": 1, "city": "Oslo"}', { "a-b": 1, city: "Oslo" }],
    [" city = 'x' , days = 2 , ", { city: "x", days: 2 }],
    ["größe=1", { größe: 1 }],
    ["__proto__={'a': 1}, constructor=2", JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}') as JsonObject],
  ];
  test.each(cases)("get_weather(%s)", (text, given) => {
    expect(events("lfm2", [marked(`[get_weather(${text})]`)])).toEqual([call("get_weather", given)]);
    expect(events("lfm2", [`[get_weather(${text})]`])).toEqual([call("get_weather", given)]);
  });

  test("several calls, between texts, more than once", () => {
    const text = `Let me see.${marked('[f(days=1), Calendar.create_event(city="x")]')} And ${marked("[f()]")}.`;
    expect(events("lfm2", [text])).toEqual([
      { text: "Let me see." },
      call("f", { days: 1 }),
      call("Calendar.create_event", { city: "x" }),
      { text: " And " },
      call("f", {}),
      { text: "." },
    ]);
  });

  test("as JSON, with and without a list, and without Python's list", () => {
    const json = '{"name": "f", "arguments": {"days": 1, "x": "a\\u00e9\\/"}}';
    const expected = [call("f", { days: 1, x: "aé/" })];
    for (const list of [
      json,
      `[${json}]`,
      ` [ ${json} , ] `,
      '{"type": "function", "function": {"name": "f", "arguments": "{\\"days\\": 1, \\"x\\": \\"aé/\\"}"}}',
    ])
      expect(events("lfm2", [marked(list)])).toEqual(expected);
    expect(events("lfm2", [marked("f(days=1)")])).toEqual([call("f", { days: 1 })]);
    expect(events("lfm2", [marked('[{"name": "f", "parameters": {}}, f()]')])).toEqual([call("f", {}), call("f", {})]);
  });

  test("the end marker may be missing at the answer's end", () => {
    expect(events("lfm2", ["<|tool_call_start|>[f(days=1)]"])).toEqual([call("f", { days: 1 })]);
  });

  test("of a tool that was not given, between markers alone", () => {
    expect(events("lfm2", [marked("[other(x=1)]")])).toEqual([call("other", { x: 1 })]);
    expect(events("lfm2", ["[other(x=1)]"])).toEqual([{ text: "[other(x=1)]" }]);
  });

  test("a list without markers only begins an answer", () => {
    expect(events("lfm2", ['[f(x="a\\"]) b", y=\'])\')] done'])).toEqual([call("f", { x: 'a"]) b', y: "])" }), { text: " done" }]);
    expect(events("lfm2", [" \n[f(days=1)] done"])).toEqual([call("f", { days: 1 }), { text: " done" }]);
    for (const text of ["See [f(days=1)]", "[f] (days)", "[link](url)", "[1, 2]", "[", "[f(", "[f(x='a)]"])
      expect(events("lfm2", [text])).toEqual([{ text }]);
  });

  test.each([
    "[f(1, 2, 3, 4, 5)]",
    "[other(1)]",
    "[f(x=1]",
    "[f(x=1)",
    "[f(x=g())]",
    "[f(x=1) f(x=2)]",
    "[f(x=1, x=2)]",
    "[f(x={1, 2})]",
    "[f(x=1e999)]",
    "[f(x=nan)]",
    "[f(x='a)]",
    "[f(x='\\xzz')]",
    "[f(x='\\U00110000')]",
    "[f(**{'x')]",
    "[f(x=)]",
    "[f(=1)]",
    "[f(x={'a'})]",
    "[]",
    "",
    "{}",
    '{"name": 1}',
    '{"name": "f", "arguments": [1]}',
    '{"name": "f", "arguments": "no"}',
    "[1]",
    "I think so",
    `[f(x=${"[".repeat(1000)}${"]".repeat(1000)})]`,
    `[f(x=${"{1:".repeat(1000)}1${"}".repeat(1000)})]`,
  ])("what is no call comes out as text: %.40s", (list) => {
    expect(events("lfm2", [`a${marked(list)}b`])).toEqual([{ text: `a${marked(list)}b` }]);
  });
});

describe("calls in tags", () => {
  const text =
    "Sure.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\nYork\n</parameter>\n<parameter=days>\n3\n</parameter>\n" +
    '<parameter=any>\n{"a": [true]}\n</parameter>\n</function>\n</tool_call>';

  test("values are of the schema's type, or JSON where they read so", () => {
    expect(events("xml", [text])).toEqual([{ text: "Sure.\n" }, call("get_weather", { city: "New\nYork", days: 3, any: { a: [true] } })]);
    const value = (key: string, written: string): Json | undefined =>
      calls("xml", `<tool_call><function=f><parameter=${key}>${written}</parameter></function></tool_call>`)[0]?.arguments[key];
    expect([
      value("city", "3"),
      value("days", "3"),
      value("any", "None"),
      value("any", "True"),
      value("any", "null"),
      value("no", "[1"),
    ]).toEqual([...["3", 3, "None", true, null, "[1"]]);
    expect(value("any", `${"[".repeat(1000)}${"]".repeat(1000)}`)).toHaveLength(2000);
  });

  test("JSON between the tags", () => {
    for (const name of ["xml", "json"])
      expect(events(name, ['<tool_call>\n{"name": "f", "arguments": {"days": 1}}\n</tool_call>'])).toEqual([call("f", { days: 1 })]);
  });

  test.each([
    "<function=f>",
    "<function=f><parameter=a>1</function>",
    "<function=f>x</function>",
    "<function=></function>",
    "<function=f></function>x",
    "x",
  ])("what is no call comes out as text: %s", (inner) => {
    const whole = `<tool_call>${inner}</tool_call> b`;
    expect(events("xml", [whole])).toEqual([{ text: whole }]);
  });
});

const names = fc.constantFrom("get_weather", "f", "Calendar.create_event");
const strings = fc.oneof(
  fc.constantFrom("<|tool_call_end|>", "<|tool_call_start|>[f()]"),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."'\"\\n<|>/ ,)]}:=é\n\u{1F600}".split("")) }),
);
const values = fc.jsonValue({ maxDepth: 4, noUnicodeString: false }).map((value) => JSON.parse(JSON.stringify(value)) as Json);
const given = fc.dictionary(fc.oneof(fc.constantFrom("city", "x_1", "größe", "__proto__"), strings), fc.oneof(values, strings), {
  maxKeys: 5,
});
const someCalls = fc.array(fc.record({ name: names, arguments: given }), { minLength: 1, maxLength: 3 });

describe("properties", () => {
  test.each(["lfm2", "json"])("%s: what is written is read, however it is cut", (name) => {
    fc.assert(
      fc.property(someCalls, fc.array(fc.nat(40), { maxLength: 20 }), (written, cuts) => {
        const isClean = name === "lfm2" || !JSON.stringify(written).includes("tool_call>");
        fc.pre(isClean);
        const text = `a${dialect(name).write(written)}b`;
        const read = events(name, cut(text, cuts)).flatMap(({ toolCall }) => toolCall ?? []);
        expect(JSON.stringify(read)).toBe(JSON.stringify(written));
      }),
    );
  });

  test("xml: what is written is read, as far as tags can say it", () => {
    const plain = fc.string({ unit: fc.constantFrom(..."ab <>/\n\"'".split("")) });
    const record = fc.record({ name: names, arguments: fc.record({ city: plain, days: fc.integer(), any: fc.array(fc.integer()) }) });
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 3 }), fc.array(fc.nat(40), { maxLength: 20 }), (written, cuts) => {
        const read = events("xml", cut(dialect("xml").write(written), cuts)).flatMap(({ toolCall }) => toolCall ?? []);
        expect(read).toEqual(written);
      }),
    );
  });

  /** Pieces of calls, in any order: most of it is malformed in some way. */
  const shards = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          ...[
            "<|tool_call_start|>",
            "<|tool_call_end|>",
            "<tool_call>",
            "</tool_call>",
            "<function=f>",
            "</function>",
            "<parameter=a>",
            "</parameter>",
          ],
          ...[
            "[f(",
            "f(x=",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            "'",
            '"',
            '"""',
            "\\",
            ",",
            ":",
            "=",
            "**",
            " ",
            "\n",
            "1",
            "-",
            "e",
            ".",
            "None",
            "\\u12",
            "<|tool",
            "<tool",
          ],
        ),
        fc.string({ unit: "binary", maxLength: 3 }),
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(""));

  test.each(["lfm2", "xml", "json"])("%s: nothing is lost and nothing throws, and cuts do not matter", (name) => {
    fc.assert(
      fc.property(shards, fc.array(fc.nat(12), { maxLength: 40 }), (text, cuts) => {
        const whole = events(name, [text]);
        expect(events(name, cut(text, cuts))).toEqual(whole);
        expect(events(name, [...text])).toEqual(whole);
        const hasCall = whole.some(({ toolCall }) => toolCall);
        const shown = whole.map((event) => event.text ?? "").join("");
        if (hasCall) expect(isSubsequence(shown, text)).toBe(true);
        else expect(shown).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  test("a call with one character altered is a call or text", () => {
    fc.assert(
      fc.property(someCalls, fc.nat(), fc.string({ unit: "binary", minLength: 1, maxLength: 1 }), (written, at, other) => {
        const text = dialect("lfm2").write(written);
        const place = at % text.length;
        const altered = text.slice(0, place) + other + text.slice(place + 1);
        const found = events("lfm2", [altered]);
        const shown = found.map((event) => event.text ?? "").join("");
        expect(shown === altered || found.some(({ toolCall }) => toolCall)).toBe(true);
      }),
    );
  });
});

test("text leaves at once unless it may begin a call", () => {
  const stream = new ToolCallStream(dialect("lfm2"), tools);
  expect(stream.push("Hello")).toEqual([{ text: "Hello" }]);
  expect(stream.push(" <|tool_ca")).toEqual([{ text: " " }]);
  expect(stream.push("ke")).toEqual([{ text: "<|tool_cake" }]);
  expect(stream.push("<")).toEqual([]);
  expect(stream.push("<")).toEqual([{ text: "<" }]);
  const bare = new ToolCallStream(dialect("lfm2"), tools);
  expect(bare.push(" [get_")).toEqual([]);
  expect(bare.push("time(")).toEqual([{ text: " [get_time(" }]);
});

test("what is too long for a call is text, and the time is linear", () => {
  const longs = [
    `<|tool_call_start|>[f(x="${"a".repeat(2 * longestCall)}")]<|tool_call_end|>`,
    `[f(x="${"a".repeat(2 * longestCall)}")]`,
    " ".repeat(2 * longestCall),
    "<".repeat(longestCall),
    `<|tool_call_start|>[f(x=${"[".repeat(longestCall - 100)}<|tool_call_end|>`,
    `<|tool_call_start|>[f(x="${'" '.repeat(longestCall / 2 - 100)}<|tool_call_end|>`,
    `<|tool_call_start|>[f(x="${`"${" ".repeat(500)}`.repeat(500)}<|tool_call_end|>`,
    `<tool_call><function=f>${"<parameter=a>".repeat(10_000)}</function></tool_call>`,
    `<tool_call><function=f>${"</function> ".repeat(20_000)}</tool_call>`,
    "<|tool_call_start|>".repeat(50_000),
    "<|tool_call_start|>1<|tool_call_end|>".repeat(20_000),
  ];
  for (const text of longs) {
    for (const name of ["lfm2", "xml"]) {
      const begin = performance.now();
      for (const pieces of [[text], [...text]]) {
        const stream = new ToolCallStream(dialect(name), tools);
        const shown = pieces
          .map((piece) =>
            stream
              .push(piece)
              .map((event) => event.text ?? "")
              .join(""),
          )
          .concat(stream.flush().map((event) => event.text ?? ""));
        expect(shown.join("") === text).toBe(true);
      }
      expect(performance.now() - begin).toBeLessThan(3000);
    }
  }
});

/** The text in pieces of these lengths, and the rest. */
function cut(text: string, lengths: readonly number[]): readonly string[] {
  let at = 0;
  const pieces = lengths.map((length) => text.slice(at, (at += length)));
  return [...pieces, text.slice(at)];
}

function isSubsequence(part: string, whole: string): boolean {
  let at = 0;
  for (const character of whole) if (part.startsWith(character, at)) at += character.length;
  return at === part.length;
}
