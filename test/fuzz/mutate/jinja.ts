/** Templates from a small grammar of Jinja: what real ones use, and what bombs are made of. */
import type { Random } from "../random.ts";

/** A template of a few statements. */
export function templateText(random: Random): string {
  return statements(random, 0);
}

function statements(random: Random, depth: number): string {
  return Array.from({ length: depth > 2 ? 1 : random.few() }, () => statement(random, depth)).join(random.pick(["", "\n", " "]));
}

function statement(random: Random, depth: number): string {
  const body = (): string => (depth > 3 ? "x" : statements(random, depth + 1));
  const value = (): string => expression(random, 0);
  return random.one(
    () => `{{ ${value()} }}`,
    () => `{{- ${value()} -}}`,
    () =>
      random.chance(1, 4)
        ? random.pick(["{{", "}}", "{%", "%}", "{#", "#}", "{% endfor %}", "{% include 'x' %}", "{% import 'x' as y %}"])
        : "text",
    () => random.pick(["<|im_start|>", "{# c #}", "'", "\u0000", "\ud800", "\n  ", "é"]),
    () => `{% for ${random.pick(["i", "m", "a, b", "loop"])} in ${iterable(random)} %}${body()}{% endfor %}`,
    () => `{% for i in ${iterable(random)} if ${value()} %}${body()}{% else %}${body()}{% endfor %}`,
    () => `{% if ${value()} %}${body()}{% elif ${value()} %}${body()}{% else %}${body()}{% endif %}`,
    () => `{% set ${random.pick(names)} = ${value()} %}`,
    () => `{% set ${random.pick(names)} %}${body()}{% endset %}`,
    () =>
      `{% set n = namespace(s=${value()}) %}{% for i in ${iterable(random)} %}{% set n.s = n.s ${random.pick(["+", "~", "*"])} ${random.pick(["n.s", value()])} %}{% endfor %}{{ n.s | length }}`,
    () =>
      `{% macro f(${random.pick(["", "x", "x, y=1", "f"])}) %}${body()}${random.pick(["", "{{ f(x) }}", "{{ f() ~ f() }}"])}{% endmacro %}{{ f(${value()}) }}`,
    () => `{% filter ${random.pick(filters)} %}${body()}{% endfilter %}`,
    () => `{% call(x) f() %}${body()}{% endcall %}`,
    () => (depth > 0 ? random.pick(["{% break %}", "{% continue %}"]) : "{% generation %}x{% endgeneration %}"),
    () => "{% set x = 'ab' %}" + "{% set x = x ~ x %}".repeat(random.pick([2, 20, 40])) + "{{ x | length }}",
    () => `{% set x = [1] %}${"{% set x = x + x %}".repeat(random.pick([2, 20, 40]))}{{ x | ${random.pick(filters)} }}`,
  );
}

function iterable(random: Random): string {
  return random.one(
    () => "messages",
    () => `range(${random.pick(["3", "10", "1000", "65536", "1000000000", "-5", "0, 100000, 3", "1, 2, 0", "'a'"])})`,
    () => expression(random, 1),
    () => "tools.items()",
  );
}

function expression(random: Random, depth: number): string {
  if (depth > 3) return random.pick(literals);
  const inner = (): string => expression(random, depth + 1);
  return random.one(
    () => random.pick(literals),
    () => random.pick(literals),
    () => random.pick(names),
    () => `${inner()} ${random.pick(["+", "-", "*", "/", "//", "%", "~", "==", "<", "in", "not in", "and", "or", "is"])} ${inner()}`,
    () => `(${inner()})`,
    () => `not ${inner()}`,
    () => `(${inner()}).${random.pick(attributes)}`,
    () => `(${inner()})["${random.pick(attributes)}"]`,
    () => `(${inner()})[${random.pick(["0", "-1", ":", "1:", "::-1", "::0", "1:2:3", "1e9"])}]`,
    () => `${inner()} | ${random.pick(filters)}`,
    () => `${inner()} | ${random.pick(filters)} | ${random.pick(filters)}`,
    () => `(${inner()}).${random.pick(methods)}`,
    () => `${inner()} if ${inner()} else ${inner()}`,
    () => `[${inner()}, ${inner()}]`,
    () => `{${random.pick(["'a'", "'__proto__'", "1", "x"])}: ${inner()}}`,
    () => `${inner()} is ${random.pick(["string", "defined", "none", "mapping", "iterable", "odd", "sameas(x)", "nothing"])}`,
    () => `${random.pick(["range", "raise_exception", "strftime_now", "namespace", "f", "dict", "joiner", "cycler", "x"])}(${inner()})`,
  );
}

const literals = [
  "1",
  "0",
  "-1",
  "1.5",
  "1000000000",
  "9007199254740993",
  "'a'",
  "''",
  "'ab' * 1000",
  "'%Y'",
  "true",
  "none",
  "[]",
  "{}",
  "messages",
  "tools",
  "bos_token",
  "messages[0]",
];
const names = [
  "x",
  "y",
  "n",
  "messages",
  "tools",
  "loop",
  "self",
  "range",
  "undefined_name",
  "__proto__",
  "constructor",
  "this",
  "globalThis",
  "process",
];
const attributes = [
  "content",
  "role",
  "__proto__",
  "constructor",
  "prototype",
  "__class__",
  "__init__",
  "__globals__",
  "mro",
  "toString",
  "length",
  "s",
  "keys",
  "get",
  "index0",
  "value",
  "split",
];
const filters = [
  ...[
    "length",
    "tojson",
    "tojson(indent=1000000)",
    "trim",
    "upper",
    "join",
    "join('x' * 1000)",
    "list",
    "sort",
    "reverse",
    "unique",
    "first",
    "last",
    "string",
    "int",
    "items",
  ],
  ...[
    "replace('', 'xx')",
    "replace('a', 'aa')",
    "indent(1000000)",
    "indent",
    "default('x')",
    "map(attribute='role')",
    "map('upper')",
    "selectattr('role')",
    "groupby('role')",
  ],
  ...[
    "safe",
    "escape",
    "e",
    "capitalize",
    "title",
    "abs",
    "float",
    "dictsort",
    "batch(2)",
    "slice(3)",
    "center(100000000)",
    "wordcount",
    "pprint",
    "nothing",
    "format(1)",
    "truncate(3)",
  ],
];
const methods = [
  ...[
    "split('')",
    "split('a', 3)",
    "strip()",
    "upper()",
    "title()",
    "replace('', 'abc')",
    "startswith('a')",
    "endswith(['a'])",
    "keys()",
    "items()",
    "get('a')",
    "get('__proto__')",
  ],
  ...[
    "pop()",
    "append(x)",
    "format()",
    "join(x)",
    "constructor('return 1')()",
    "__class__.__mro__",
    "toString()",
    "rstrip('a')",
    "lstrip()",
    "isdigit()",
    "update({})",
  ],
];
