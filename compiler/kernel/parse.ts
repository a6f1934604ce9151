/**
 * Reads the text that `print.ts` writes, to a structurally identical kernel. Only the form is checked here, with the line that is at
 * fault; whether the kernel makes sense is `verify.ts`'s question.
 */
import { LfmcError } from "../errors.ts";
import { vector, type Element, type Kernel, type Parameter, type Statement, type Type, type Value, type Variable } from "./ir.ts";
import { infixOfConstant, infixOfValues, usualCount } from "./print.ts";

/** The lines that are left, and what the ones before defined. */
interface Source {
  readonly lines: readonly string[];
  next: number;
  readonly values: Map<number, Value>;
  readonly variables: Map<number, Variable>;
}

const value = String.raw`%(?:\w+\.)?\d+`;
const variable = String.raw`@\w+\.\d+`;
const number = String.raw`-?(?:\d[\d.]*(?:e[+-]?\d+)?|Infinity)|NaN`;
const place = String.raw`(${value})\[(${value})(?: \+ (${number}))?\]`;
const patterns = {
  head: /^kernel (\w+)\($/,
  parameter: new RegExp(String.raw`^%(\w+)\.(\d+): (\w+) (read|write|read-write|scalar)(?: // (.*))?$`),
  summary: /^\/\/ (.*)$/,
  result: new RegExp(String.raw`^(${value}): (\w+) = (.*)$`),
  read: new RegExp(`^(${variable})$`),
  memory: new RegExp(String.raw`^(load\w*) ${place}(?: lanes (\d+))?$`),
  infix: new RegExp(String.raw`^(${value}) (\S+) (${value}|${number})$`),
  call: /^(\w+)\((.*)\)$/,
  store: new RegExp(String.raw`^store ${place} = (${value})(?: as (\w+))?(?: lanes (\d+))?$`),
  prefetch: new RegExp(`^prefetch ${place}$`),
  declare: new RegExp(String.raw`^var @(\w+)\.(\d+): (\w+) = (${value})$`),
  assign: new RegExp(String.raw`^(${variable}) = (${value})$`),
  for: new RegExp(String.raw`^for %(\w+)\.(\d+) from (${value}) to (${value}) step (${number})$`),
  if: new RegExp(String.raw`^if (${value})$`),
} as const;

/** Reads one kernel; throws LfmcError `kernel/syntax` naming the line. */
export function parseKernel(text: string): Kernel {
  const lines = text.split("\n").map((line) => line.trim());
  const source: Source = { lines, next: 0, values: new Map(), variables: new Map() };
  const [summary = ""] = groups(patterns.summary, advance(source)) ?? fail(source, "expected the summary as a comment");
  const [name = ""] = groups(patterns.head, advance(source)) ?? fail(source, "expected kernel NAME(");
  const parameters: Parameter[] = [];
  for (let line = advance(source); line !== ") {"; line = advance(source)) parameters.push(parseParameter(source, line));
  const { statements, end } = parseBlock(source);
  if (end !== "}" || source.lines.slice(source.next).some((line) => line !== "")) fail(source, "expected the end of the kernel");
  return { name, summary, parameters, body: statements };
}

function advance(source: Source): string {
  const line = source.lines[source.next++];
  return line ?? fail(source, "the text ends inside the kernel");
}

/** `source.next` counts the lines that were taken, so it is the number of the latest one. */
function fail(source: Source, fact: string): never {
  throw new LfmcError("kernel/syntax", fact, {
    subject: `kernel text, line ${source.next}`,
    hint: "only text as printed by lfmc reads back",
  });
}

/** The pattern's groups, "" for those that are absent; undefined where the text does not match. */
function groups(pattern: RegExp, text: string): readonly string[] | undefined {
  return pattern
    .exec(text)
    ?.slice(1)
    .map((group: string | undefined) => group ?? "");
}

function parseParameter(source: Source, line: string): Parameter {
  const [name = "", id = "", type = "", access = "", note = ""] = groups(patterns.parameter, line) ?? fail(source, "expected a parameter");
  return { name, value: define(source, id, parseType(source, type)), access: parseAccess(source, access), note };
}

function parseAccess(source: Source, text: string): Parameter["access"] {
  return (["read", "write", "read-write", "scalar"] as const).find((access) => access === text) ?? fail(source, `no access ${text}`);
}

function parseElement(source: Source, text: string): Element {
  return (["i8", "i16", "i32", "f32", "ptr"] as const).find((element) => element === text) ?? fail(source, `no element ${text}`);
}

function parseType(source: Source, text: string): Type {
  const [element = "", lanes = ""] = groups(/^([a-z]+\d*)(?:x(\d+))?$/, text) ?? fail(source, `no type ${text}`);
  return vector(parseElement(source, element), lanes === "" ? 1 : Number(lanes));
}

/** The digits at the end of `%name.12`, `%12` or `@name.12`. */
function idOf(text: string): number {
  return Number(/\d+$/.exec(text)?.[0]);
}

function define(source: Source, text: string, type: Type): Value {
  const defined: Value = { id: idOf(text), type };
  source.values.set(defined.id, defined);
  return defined;
}

function valueAt(source: Source, text: string): Value {
  return source.values.get(idOf(text)) ?? fail(source, `${text} is not defined`);
}

function variableAt(source: Source, text: string): Variable {
  return source.variables.get(idOf(text)) ?? fail(source, `${text} is not declared`);
}

/** Statements up to the line that closes their block, which is returned as `end`. */
function parseBlock(source: Source): { readonly statements: readonly Statement[]; readonly end: string } {
  const statements: Statement[] = [];
  for (;;) {
    const line = advance(source);
    if (line === "}" || line === "} else {") return { statements, end: line };
    statements.push(line.endsWith(" {") && !line.startsWith("//") ? parseNested(source, line.slice(0, -2)) : parseLine(source, line));
  }
}

/** A loop or a condition, given its first line without the brace. */
function parseNested(source: Source, head: string): Statement {
  const loop = groups(patterns.for, head);
  if (loop) {
    const [name = "", id = "", first = "", last = "", step = ""] = loop;
    const [from, to] = [valueAt(source, first), valueAt(source, last)];
    const index = define(source, id, vector("i32", 1));
    const { statements, end } = parseBlock(source);
    if (end !== "}") fail(source, "a loop has no else");
    return { kind: "for", name, index, from, to, step: Number(step), body: statements };
  }
  const [operand = ""] = groups(patterns.if, head) ?? fail(source, "expected for or if");
  const condition = valueAt(source, operand);
  const then = parseBlock(source);
  const otherwise = then.end === "}" ? { statements: [], end: "}" } : parseBlock(source);
  if (otherwise.end !== "}") fail(source, "a condition has one else");
  return { kind: "if", condition, then: then.statements, otherwise: otherwise.statements };
}

function parseLine(source: Source, line: string): Statement {
  const result = groups(patterns.result, line);
  if (result) return parseResult(source, result);
  const store = groups(patterns.store, line);
  if (store) return parseStore(source, store);
  const prefetch = groups(patterns.prefetch, line);
  if (prefetch) {
    const [base = "", at = "", offset = ""] = prefetch;
    return { kind: "prefetch", pointer: valueAt(source, base), index: valueAt(source, at), offset: Number(offset) };
  }
  const declare = groups(patterns.declare, line);
  if (declare) {
    const [name = "", id = "", type = "", initial = ""] = declare;
    const declared: Variable = { variable: Number(id), name, type: parseType(source, type) };
    source.variables.set(declared.variable, declared);
    return { kind: "declare", variable: declared, initial: valueAt(source, initial) };
  }
  const [target = "", assigned = ""] = groups(patterns.assign, line) ?? fail(source, `expected a statement, not: ${line}`);
  return { kind: "assign", variable: variableAt(source, target), value: valueAt(source, assigned) };
}

function parseStore(source: Source, [base = "", at = "", offset = "", operand = "", as = "", lanes = ""]: readonly string[]): Statement {
  const stored = valueAt(source, operand);
  return {
    kind: "store",
    pointer: valueAt(source, base),
    index: valueAt(source, at),
    offset: Number(offset),
    value: stored,
    element: as === "" ? stored.type.element : parseElement(source, as),
    count: lanes === "" ? stored.type.lanes : Number(lanes),
  };
}

/** What stands behind `%12: type =`: a variable, a load, an infix operation or a call. */
function parseResult(source: Source, [target = "", typeText = "", expression = ""]: readonly string[]): Statement {
  const type = parseType(source, typeText);
  if (patterns.read.test(expression)) {
    return { kind: "read", result: define(source, target, type), variable: variableAt(source, expression) };
  }
  const { op, operands } = splitOperation(source, expression, type);
  const split = operands.findIndex((operand) => !operand.startsWith("%"));
  const argCount = split < 0 ? operands.length : split;
  const args = operands.slice(0, argCount).map((operand) => valueAt(source, operand));
  const immediates = operands.slice(argCount).map((text) => {
    return new RegExp(`^(?:${number})$`).test(text) ? Number(text) : fail(source, `no number ${text}`);
  });
  return { kind: "let", result: define(source, target, type), op, args, immediates };
}

function splitOperation(source: Source, expression: string, type: Type): { readonly op: string; readonly operands: readonly string[] } {
  const memory = groups(patterns.memory, expression);
  if (memory) {
    const [op = "", base = "", at = "", offset = "", lanes = ""] = memory;
    return { op, operands: [base, at, offset === "" ? "0" : offset, lanes === "" ? String(usualCount(op, type.lanes)) : lanes] };
  }
  const infix = groups(patterns.infix, expression);
  if (infix) {
    const [left = "", symbol = "", right = ""] = infix;
    const table = right.startsWith("%") ? infixOfValues : infixOfConstant;
    const [op] = Object.entries(table).find(([, each]) => each === symbol) ?? fail(source, `no operation ${symbol}`);
    return { op, operands: [left, right] };
  }
  const [op = "", list = ""] = groups(patterns.call, expression) ?? fail(source, `no operation: ${expression}`);
  return { op, operands: list === "" ? [] : list.split(", ") };
}
