/**
 * Runs a parsed Jinja template within a budget of time, memory and output. The package's interpreter walks the template by its one
 * public method `evaluate`, through which this looks at every value: none may be large, all together may not be, and what multiplies
 * sizes inside one step (`replace`, `join`, `indent`, …) is looked at before it runs, its operands evaluated first and put back as
 * values.
 */
import type { TemplateInterpreter, TemplateNode as Node, TemplateScope, TemplateValue as Value } from "./jinja.ts";

/** The template wants more than it may have. The message goes on after its name. */
export class Exhausted extends Error {}

const mostSteps = 2 ** 22;
/** Evaluations inside each other: an expression in an expression, a macro in a macro. */
const deepestCall = 256;
const deepestValue = 80;
/** Weight of one value: its characters and the values in it, counted as often as they are met. */
const heaviest = 2 ** 22;
const mostItems = 2 ** 16;
/** Of all that is made or written. */
const heaviestTotal = 2 ** 25;
/** Characters that one step may write or compare beyond its operands. */
const largestProduct = 2 ** 26;
const largestSearch = 2 ** 31;
const stepsBetweenLooks = 64;
const heavyStep = 1024;

/** Filters and methods whose work is the size of what they are applied to times that of their arguments. */
const multiplying: ReadonlySet<unknown> = new Set(["replace", "split", "join", "indent", "tojson", "sort", "map"]);

/** Nodes that copy items or characters into a new value; sums of lists and slices do too, while sums of texts share their parts. */
const copying: ReadonlySet<string> = new Set([
  "ArrayLiteral",
  "TupleLiteral",
  "ObjectLiteral",
  "FilterExpression",
  "FilterStatement",
  "CallExpression",
  "CallStatement",
]);

interface Size {
  readonly weight: number;
  readonly depth: number;
}

/** The text that `program` writes in `scope`. Throws `Exhausted`, and whatever the package throws for a template that is wrong. */
export function meteredRun(interpreter: TemplateInterpreter, program: Node, scope: TemplateScope, mostSeconds: number): string {
  const plain = interpreter.evaluate.bind(interpreter);
  const budget = new Budget(mostSeconds);
  const sizes = new Sizes();
  const written = writtenNodes(program);
  let depth = 0;
  const nested = (work: () => Value): Value => {
    if (depth === deepestCall) throw new Exhausted(`goes deeper than ${deepestCall} calls`);
    depth++;
    try {
      return work();
    } finally {
      depth--;
    }
  };
  interpreter.evaluate = (node, inner) => {
    if (node === undefined) return plain(node, inner);
    const known: unknown = Reflect.get(node, "known");
    if (isValue(known)) return known;
    budget.step();
    const evaluate = (operand: Node | undefined): Value => interpreter.evaluate(operand, inner);
    const value = nested(() => plain(prepared(node, evaluate, sizes), inner));
    if (isStray(node, value)) throw new Error("a method that is not called");
    const { weight } = sizes.of(value);
    if (written.has(node)) budget.charge(weight);
    else if (copies(node, value)) budget.charge(typeof value.value === "string" ? weight : itemCount(value));
    return value;
  };
  return String(interpreter.evaluate(program, scope).value);
}

/** What is left of time, steps and weight. */
class Budget {
  readonly #seconds: number;
  readonly #end: number;
  #total = 0;
  #steps = 0;

  constructor(seconds: number) {
    this.#seconds = seconds;
    this.#end = performance.now() + 1000 * seconds;
  }

  step(): void {
    if (++this.#steps > mostSteps) throw new Exhausted(`takes more than ${mostSteps} steps`);
    if (this.#steps % stepsBetweenLooks === 0) this.#look();
  }

  charge(weight: number): void {
    this.#total += weight;
    if (this.#total > heaviestTotal) throw new Exhausted("makes too many or too large values");
    if (weight > heavyStep) this.#look();
  }

  #look(): void {
    if (performance.now() > this.#end) throw new Exhausted(`takes more than ${this.#seconds} s`);
  }
}

/** Sizes of values, each looked at once. Only namespaces change; no value may hold one. */
class Sizes {
  readonly #known = new WeakMap<Value, Size>();

  /** Throws `Exhausted` for a value that is too large. */
  of(value: unknown): Size {
    if (!isValue(value)) return { weight: 1, depth: 0 };
    const known = this.#known.get(value);
    if (known) return known;
    const size = this.#measure(value.value);
    if (size.weight > heaviest || size.depth > deepestValue) throw new Exhausted("makes a value that is too large");
    if (value.type !== namespace) this.#known.set(value, size);
    return size;
  }

  #measure(content: unknown): Size {
    if (typeof content === "string") return { weight: 1 + content.length, depth: 0 };
    if (!Array.isArray(content) && !(content instanceof Map)) return { weight: 1, depth: 0 };
    if ((Array.isArray(content) ? content.length : content.size) > mostItems) throw new Exhausted(`makes more than ${mostItems} items`);
    let [weight, depth] = [1, 0];
    const items: readonly unknown[] = content instanceof Map ? [...content.keys(), ...content.values()] : content;
    for (const item of items) {
      if (isValue(item) && item.type === namespace) throw new Exhausted("keeps a namespace in a value");
      const size = typeof item === "string" ? { weight: item.length, depth: 0 } : this.of(item);
      weight += size.weight;
      depth = Math.max(depth, size.depth);
    }
    return { weight, depth: depth + 1 };
  }
}

const namespace = "NamespaceValue";

/** Where the node multiplies sizes: a node of evaluated operands, which were found small enough. */
function prepared(node: Node, evaluate: (operand: Node | undefined) => Value, sizes: Sizes): Node {
  const known = (operand: unknown): Known => ({ type: "Known", known: evaluate(isNode(operand) ? operand : undefined) });
  const part = (name: string): unknown => Reflect.get(node, name);
  switch (node.type) {
    case "BinaryExpression": {
      const operator: unknown = fieldOf(part("operator"), "value");
      if (operator !== "in" && operator !== "not in") return node;
      const [left, right] = [known(part("left")), known(part("right"))];
      if (length(left.known) * length(right.known) > largestSearch) throw new Exhausted("looks for too long a text");
      return { ...node, ...{ left, right } };
    }
    case "FilterExpression":
    case "FilterStatement": {
      const filter = part("filter");
      if (!isNode(filter) || filter.type !== "CallExpression" || !multiplying.has(fieldOf(fieldOf(filter, "callee"), "value"))) return node;
      const name = fieldOf(fieldOf(filter, "callee"), "value");
      const operand = known(node.type === "FilterExpression" ? part("operand") : { type: "Program", body: part("body") });
      const args = knownArguments(fieldOf(filter, "args"), known);
      admit(name, operand.known, args, sizes);
      return { type: "FilterExpression", ...{ operand, filter: { ...filter, args } } };
    }
    case "CallExpression": {
      const callee = part("callee");
      if (!isNode(callee) || callee.type !== "MemberExpression") return node;
      const object = known(fieldOf(callee, "object"));
      const isComputed = fieldOf(callee, "computed") === true;
      const property = isComputed ? known(fieldOf(callee, "property")) : fieldOf(callee, "property");
      const name = isComputed ? fieldOf(fieldOf(property, "known"), "value") : fieldOf(property, "value");
      const args = knownArguments(part("args"), known);
      if (multiplying.has(name)) admit(name, object.known, args, sizes);
      return { ...node, ...{ args, callee: { ...callee, object, property, isCallee: true } } };
    }
    default:
      return node;
  }
}

/** Arguments with their values in place of their expressions. */
function knownArguments(args: unknown, known: (operand: unknown) => Known): readonly Node[] {
  if (!Array.isArray(args)) return [];
  return args.filter(isNode).map((argument) => {
    if (argument.type === "KeywordArgumentExpression") return { ...argument, ...{ value: known(fieldOf(argument, "value")) } };
    if (argument.type === "SpreadExpression" || argument.type === "KeywordSpreadExpression")
      return { ...argument, ...{ argument: known(fieldOf(argument, "argument")) } };
    return known(argument);
  });
}

/** Throws `Exhausted` where a filter or method would write or compare too much. */
function admit(name: unknown, operand: Value, args: readonly Node[], sizes: Sizes): void {
  const { weight, depth } = sizes.of(operand);
  const size = name === "tojson" ? weight * (depth + 1) : length(operand);
  const values = args.map((argument) => fieldOf(fieldOf(argument, "value") ?? fieldOf(argument, "argument") ?? argument, "known"));
  const factor = values.reduce<number>((sum, value) => sum + magnitude(value, sizes), 1);
  if (size * factor > largestProduct) throw new Exhausted(`asks too much of "${String(name)}"`);
}

/** How often an argument makes something happen, or how long that is. */
function magnitude(value: unknown, sizes: Sizes): number {
  return isValue(value) && typeof value.value === "number" ? Math.abs(value.value) : sizes.of(value).weight;
}

/** Characters or items. */
function length({ value }: Value): number {
  return 1 + (typeof value === "string" || Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0);
}

function itemCount({ value }: Value): number {
  return Array.isArray(value) ? value.length : value instanceof Map ? value.size : 1;
}

function copies(node: Node, { value }: Value): boolean {
  if (node.type === "BinaryExpression") return Array.isArray(value);
  if (node.type === "MemberExpression") return fieldOf(fieldOf(node, "property"), "type") === "SliceExpression";
  return copying.has(node.type);
}

/** A method in place of its result: called later, by another name, it would not be looked at. */
function isStray(node: Node, value: Value): boolean {
  return node.type === "MemberExpression" && isValue(value) && value.type === "FunctionValue" && Reflect.get(node, "isCallee") !== true;
}

/** Nodes whose value is written into a text or spread into arguments. */
function writtenNodes(program: Node): ReadonlySet<unknown> {
  const written = new Set<unknown>();
  const open: unknown[] = [program];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (typeof node !== "object" || node === null) continue;
    if (node instanceof Map) open.push(...node.keys(), ...node.values());
    for (const [name, part] of Object.entries(node)) {
      if (["body", "alternate", "defaultBlock"].includes(name) && Array.isArray(part)) for (const statement of part) written.add(statement);
      if (name === "argument") written.add(part);
      open.push(part);
    }
  }
  return written;
}

/** A node that was evaluated. */
interface Known extends Node {
  readonly known: Value;
}

function fieldOf(thing: unknown, name: string): unknown {
  return typeof thing === "object" && thing !== null ? Reflect.get(thing, name) : undefined;
}

function isNode(thing: unknown): thing is Node {
  return typeof fieldOf(thing, "type") === "string";
}

function isValue(thing: unknown): thing is Value {
  return isNode(thing) && "value" in thing;
}
