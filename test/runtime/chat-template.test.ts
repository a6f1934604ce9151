/** Chat templates: what they render, and that a template which nobody vouches for can do no harm. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ChatMessage, Tool } from "../../runtime/chat/index.ts";
import { type ChatTemplate, checkTemplate, createChatTemplate, withToolTemplate } from "../../runtime/chat/index.ts";
import { strftime } from "../../runtime/chat/strftime.ts";
import { refusal } from "./support.ts";

const tokens = { bosToken: "<|startoftext|>", eosToken: "<|im_end|>", padToken: "<|pad|>" };
const weather: Tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: 'of "a" café',
    parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } },
  },
};
const weatherJson =
  '{"type": "function", "function": {"name": "get_weather", "description": "of \\"a\\" café", ' +
  '"parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}';
const asked: readonly ChatMessage[] = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "Rain?" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "get_weather", arguments: '{"city": "Paris", "days": 3}' } }],
  },
  { role: "tool", content: '{"rain": true}', tool_call_id: "c1" },
];

function fixture(name: string): ChatTemplate {
  return createChatTemplate(readFileSync(new URL(`data/${name}.jinja`, import.meta.url), "utf8"), tokens);
}

function render(source: string, messages: readonly ChatMessage[] = [{ role: "user", content: "hi" }]): string {
  return createChatTemplate(source, tokens).render(messages, { addGenerationPrompt: false, maxSeconds: 0.5 });
}

describe("render", () => {
  test("LFM2: tools in the system message, results between their markers, calls as the model wrote them", () => {
    expect(fixture("lfm2").render(asked, { tools: [weather] })).toBe(
      `<|startoftext|><|im_start|>system\nBe kind.\nList of tools: <|tool_list_start|>[${weatherJson}]<|tool_list_end|><|im_end|>\n` +
        "<|im_start|>user\nRain?<|im_end|>\n" +
        '<|im_start|>assistant\n<|tool_call_start|>[get_weather(city="Paris", days=3)]<|tool_call_end|><|im_end|>\n' +
        '<|im_start|>tool\n<|tool_response_start|>{"rain": true}<|tool_response_end|><|im_end|>\n' +
        "<|im_start|>assistant\n",
    );
  });

  test("LFM2.5: macros, namespaces, the generation tag and today's date", () => {
    const template = fixture("lfm2.5");
    expect(template.render(asked, { tools: [weather], addGenerationPrompt: false, now: new Date(2026, 0, 5) })).toBe(
      `<|startoftext|><|im_start|>system\nBe kind.\n\nToday's date: 2026-01-05\n\nList of tools: [${weatherJson}]<|im_end|>\n` +
        "<|im_start|>user\nRain?<|im_end|>\n" +
        "<|im_start|>assistant\n<|tool_call_start|>[get_weather(city='Paris', days=3)]<|tool_call_end|><|im_end|>\n" +
        '<|im_start|>tool\n{"rain": true}<|im_end|>\n',
    );
    const thought: readonly ChatMessage[] = [
      { role: "user", content: "a" },
      { role: "assistant", content: "<think>hm</think> b" },
      { role: "user", content: "c" },
    ];
    expect(template.render(thought)).not.toContain("hm");
    expect(template.render(thought, { variables: { preserve_thinking: true } })).toContain("<think>hm</think> b");
  });

  test("white space as transformers strips it", () => {
    expect(fixture("xml-tools").render(asked, { tools: [weather], addGenerationPrompt: false })).toBe(
      `<|startoftext|><|im_start|>system\n${weatherJson}\n` +
        "Answer with <tool_call><function=name><parameter=key>value</parameter></function></tool_call>.<|im_end|>\n" +
        "<|im_start|>system\nBe kind.\n<|im_end|>\n<|im_start|>user\nRain?\n<|im_end|>\n" +
        "<|im_start|>assistant\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n" +
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<|im_end|>\n" +
        '<|im_start|>tool\n{"rain": true}\n<|im_end|>\n',
    );
  });

  test("the dialect is told by the template", () => {
    expect(["lfm2", "lfm2.5", "xml-tools"].map((name) => fixture(name).dialect?.name)).toEqual(["lfm2", "lfm2", "xml"]);
    expect(createChatTemplate("{{ tools }} <tool_call>").dialect?.name).toBe("json");
    expect(createChatTemplate("{{ messages[0].content }}").dialect).toBeNull();
  });

  test("of two templates, that for tools where there are tools", () => {
    const template = createChatTemplate(withToolTemplate("plain {{ bos_token }}\n", "with {{ tools | length }}\n"), tokens);
    expect([template.render([]), template.render([], { tools: [weather] })]).toEqual(["plain <|startoftext|>", "with 1"]);
  });

  test("more than 256 rounds of a loop that goes on early", () => {
    expect(render("{% for i in range(1000) %}{% if i < 999 %}{% continue %}{% endif %}{{ i }}{% endfor %}")).toBe("999");
  });

  test("a long conversation and many tools are within the budget of all but time", () => {
    const talk = (count: number, words: number): readonly ChatMessage[] =>
      Array.from({ length: count }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content: "word ".repeat(words) }));
    const maxSeconds = 20;
    const tools = Array.from({ length: 50 }, () => weather);
    expect(fixture("lfm2").render(talk(600, 300), { maxSeconds }).length).toBeGreaterThan(900_000);
    expect(fixture("lfm2.5").render(talk(600, 300), { tools, maxSeconds }).length).toBeGreaterThan(900_000);
    const neighbours = createChatTemplate(
      "{% for m in messages %}{% if not loop.first and messages[loop.index0 - 1].role != m.role %}x{% endif %}{% endfor %}",
    );
    expect(neighbours.render(talk(6000, 1), { maxSeconds })).toHaveLength(5999);
    const growing = "{% set n = namespace(s='') %}{% for t in tools %}{% set n.s = n.s + (t | tojson) + ', ' %}{% endfor %}{{ n.s }}";
    const many = Array.from({ length: 1000 }, () => ({ ...weather, function: { ...weather.function, description: "word ".repeat(100) } }));
    expect(createChatTemplate(growing).render([], { tools: many, maxSeconds }).length).toBeGreaterThan(600_000);
  });

  test("strftime as Python has it", () => {
    const date = new Date(2026, 10, 7, 15, 4, 9);
    expect(strftime(date, "%Y-%m-%d %y %B %b %A %a %H:%M:%S %I %p %j %% %q %")).toBe(
      "2026-11-07 26 November Nov Saturday Sat 15:04:09 03 PM 311 % %q %",
    );
    expect(strftime(new Date(2026, 0, 1, 0, 30), "%I %p %j")).toBe("12 AM 001");
  });
});

describe("refusals", () => {
  test("a template's own words", async () => {
    const { code, message } = await refusal(() => render("{{ raise_exception('Roles must\nalternate') }}"));
    expect([code, message]).toEqual(["chat/template", "chat template: refuses the conversation: Roles must\uFFFDalternate"]);
  });

  test("tools that the template would not show", async () => {
    const { code, message } = await refusal(() => createChatTemplate("{{ messages[0].content }}").render([], { tools: [weather] }));
    expect([code, message]).toEqual(["chat/template", "chat template: does not show tools to the model"]);
  });

  test.each([
    "{{ x",
    "{% if %}",
    "{% for x in y %}",
    "{% unknown %}",
    "{{ 'a",
    "{# a",
    `{{ ${"(".repeat(100_000)} }}`,
    "{% endif %}",
    `${" ".repeat(1000)}{{ 1 }}`,
    "x".repeat(300_000),
  ])("what does not parse: %#", async (source) => {
    expect(await refusal(() => render(source))).toMatchObject({ code: "chat/template" });
    expect(
      await refusal(() => {
        checkTemplate(source);
      }),
    ).toMatchObject({ code: "chat/template" });
  });

  test.each([
    "{{ nothing() }}",
    "{{ 1 / 'a' }}",
    "{% break %}",
    "{{ [] | first }}",
    "{{ 'a' | nope }}",
    "{{ none | length }}",
    "{{ range(0, 5, 0) }}",
    "{{ range('a') }}",
  ])("what fails: %s", async (source) => {
    expect((await refusal(() => render(source))).message).toMatch(/^chat template: fails: /);
  });

  test("variables that are no plain values", async () => {
    const deep = JSON.parse(`${"[".repeat(200)}${"]".repeat(200)}`) as unknown;
    for (const value of [deep, 1n, Symbol("a")]) {
      const run = () => createChatTemplate("").render([], { variables: { value } });
      expect(await refusal(run)).toMatchObject({ code: "chat/template" });
    }
  });
});

test.each([
  "{{ messages.__proto__ }}{{ messages[0].__proto__ }}{{ messages[0]['__proto__'] }}{{ ''.__proto__ }}{{ none.__proto__ }}",
  "{{ messages.constructor }}{{ messages[0].constructor }}{{ ''['constructor'] }}{{ range.constructor }}{{ (1).constructor }}",
  "{{ messages.__class__ }}{{ ''.__class__.__mro__ }}{{ messages[0].toString }}{{ messages[0].hasOwnProperty }}",
  "{{ globalThis }}{{ process }}{{ self }}{{ this }}{{ __dirname }}{{ constructor }}{{ __proto__ }}",
])("prototypes yield nothing: %s", (source) => {
  expect(render(source)).toBe("");
});

describe("a template that wants too much is stopped soon", () => {
  /** `s` is a string of `piece` doubled so often. */
  const grown = (times: number, piece = "xy\\n"): string =>
    `{% set n = namespace(s="${piece}") %}{% for i in range(${times}) %}{% set n.s = n.s + n.s %}{% endfor %}{% set s = n.s %}`;
  const cases: Readonly<Record<string, string>> = {
    "loops in loops": "{% for i in range(60000) %}{% for j in range(60000) %}x{% endfor %}{% endfor %}",
    "empty loops in loops": "{% for i in range(60000) %}{% for j in range(60000) %}{% endfor %}{% endfor %}",
    "a huge range": "{% for i in range(1000000000) %}{% endfor %}",
    "a range that never ends": "{% for i in range(0, 2 ** 60) %}{% endfor %}",
    "doubled strings": grown(100),
    "doubled strings by ~": "{% set n = namespace(s='x') %}{% for i in range(100) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "doubled lists": "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "lists that hold a list twice": "{% set n = namespace(s=[1]) %}{% for i in range(100) %}{% set n.s = [n.s, n.s] %}{% endfor %}",
    "mappings that hold a mapping twice":
      "{% set n = namespace(s={}) %}{% for i in range(100) %}{% set n.s = {'a': n.s, 'b': n.s} %}{% endfor %}",
    "deep lists": "{% set n = namespace(s=[1]) %}{% for i in range(50000) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}",
    "a namespace in itself": "{% set n = namespace(a=1) %}{% set n.a = n %}{{ n | tojson }}",
    "namespaces in namespaces": "{% set a = namespace(x='y') %}{% set b = namespace(x=a, y=a) %}{{ b }}",
    "a macro that calls itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "a macro that calls itself twice": "{% macro f(x) %}{% if x %}{{ f(x - 1) }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "a caller that calls":
      "{% macro m() %}{{ caller() }}{% endmacro %}{% macro f() %}{% call m() %}{{ f() }}{% endcall %}{% endmacro %}{{ f() }}",
    "replace, a method": `${grown(18)}{{ s.replace("", s) }}`,
    "replace by another name": `${grown(18)}{{ s["re" ~ "place"]("", s) }}`,
    "replace, kept for later": `${grown(18)}{% set f = s.replace %}{{ f("", s) }}`,
    "replace, in a list": `${grown(18)}{% for f in [s.replace] %}{{ f("", s) }}{% endfor %}`,
    "replace, a filter": `${grown(18)}{{ s | replace("", s) }}`,
    "replace, round a block": `${grown(18)}{% filter replace("", s) %}{{ s }}{% endfilter %}`,
    "replace with spread arguments": `${grown(18)}{{ s.replace(*["", s]) }}`,
    "a search for nearly all of a text": `${grown(20, "a")}{{ ("b" ~ s) in (s ~ s) }}`,
    "a wide indent": "{{ 'a\\nb' | indent(500000000, true) }}",
    "an endless indent": "{{ 'a\\nb' | indent(1 // 0, true) }}",
    "many lines indented": `${grown(18)}{{ s | indent(5000) }}`,
    "a wide JSON": "{{ [[[1]]] | tojson(indent=900000000) }}",
    "JSON between long separators": `${grown(16)}{{ range(5000) | tojson(separators=(s, s)) }}`,
    "join by a long text": `${grown(18)}{{ range(60000) | join(s) }}`,
    "split by nearly all of a text": `${grown(19, "a")}{{ (s ~ s).split("b" ~ s) }}`,
    "sort by a long path": `${grown(18, "a.")}{{ range(50000) | sort(attribute=s) }}`,
    "map by a long path": `${grown(18, "a.")}{{ range(50000) | map(attribute=s) }}`,
    "somewhat too much output": `${grown(15)}{% for i in range(20) %}{{ s }}{% endfor %}`,
    "much output": `${grown(15)}{% for i in range(1000) %}{{ s }}{% endfor %}`,
    "much output of one text": `{% for i in range(60000) %}${"x".repeat(1000)}{% endfor %}`,
    "much output in a block": `${grown(18)}{% set x %}{% for i in range(1000) %}{{ s }}{% endfor %}{% endset %}`,
    "a large value written often": "{% set l = range(60000) %}{% for i in range(60000) %}{{ l }}{% endfor %}",
    "arguments spread often":
      "{% macro m() %}{{ varargs | length }}{% endmacro %}{% set l = range(60000) %}{% for i in range(60000) %}{{ m(*l) }}{% endfor %}",
    "a list that grows one by one": "{% set n = namespace(s=[]) %}{% for i in range(60000) %}{% set n.s = n.s + [i] %}{% endfor %}",
    "a text taken apart often": `${grown(19, "a ")}{% for i in range(10000) %}{% set x = s.split() %}{% endfor %}`,
    "a text copied often": `${grown(19, "a ")}{% for i in range(10000) %}{% set x = s | upper %}{% endfor %}`,
    "a text turned round often": `${grown(19, "a ")}{% for i in range(10000) %}{% set x = s[::-1] %}{% endfor %}`,
    "a text tested often": `${grown(19, "a ")}{% for i in range(60000) %}{% if s is lower %}{% endif %}{% endfor %}`,
    "a long sum": `{{ 1${"+1".repeat(100_000)} }}`,
    "a large power": "{{ 9 ** 9999 }}",
    "text by number": "{{ 'x' * 1000000000 }}",
    "a format of many months": `${grown(18, "%B")}{{ strftime_now(s) }}`,
    "a long complaint": `${grown(18)}{{ raise_exception(s) }}`,
  };

  test.each([
    [`${grown(19, "a ")}{% for x in s.split() %}{% endfor %}`, "makes more than 65536 items"],
    ["{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "goes deeper than 256 calls"],
    ["{% for i in range(60000) %}{% for j in range(60000) %}x{% endfor %}{% endfor %}", "takes more than 0.5 s"],
  ])("and told why: %#", async (source, words) => {
    expect((await refusal(() => render(source))).message).toBe(`chat template: ${words}`);
  });

  test.each(Object.entries(cases))("%s", async (_, source) => {
    const begin = performance.now();
    const { code, message } = await refusal(() => render(source));
    expect(code).toBe("chat/template");
    // Not what the engine's own limits say.
    expect(message).not.toMatch(/Invalid (string|array|count)|call stack|memory/i);
    expect(message.length).toBeLessThan(600);
    expect(performance.now() - begin).toBeLessThan(6000);
  });
});
