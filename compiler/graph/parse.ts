/**
 * Reads the text that print.ts writes. Blank lines and lines that start with # are skipped; types of nodes must be the inferred
 * ones, so that text never says anything false.
 *
 *   graph     = "graph" string, then constants, nodes, and at last "output" name; each on its line
 *   constant  = "const" name ":" type "=" source { "," source }
 *   source    = string "[" sizes "]" [ "rows" first ".." last ]
 *   node      = name ":" type { "," name ":" type } "=" op "(" [ names ] ")" { name "=" attribute }
 *   type      = encoding "[" [ dimensions ] "]"
 *   attribute = number | string | "true" | "false" | "null"
 */
import { LfmcError } from "../errors.ts";
import { formatType, weightEncodings } from "./operands.ts";
import { Scanner } from "./scanner.ts";
import { inferTypes } from "./types-of.ts";
import type { Attribute, Constant, Dimension, Encoding, Graph, Node, TensorSlice, ValueName, ValueType } from "./types.ts";
import { verifyGraph } from "./verify.ts";

const encodings: readonly Encoding[] = [...weightEncodings, "q8", "i32"];

interface TypedName {
  readonly name: ValueName;
  readonly type: ValueType;
}

interface ParsedNode {
  readonly node: Node;
  readonly results: readonly TypedName[];
}

/** The verified graph of a text. Throws graph/syntax with line and column, graph/invalid for a graph that does not hold. */
export function parseGraph(text: string): Graph {
  const lines = text
    .split(/\r?\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== "" && !line.trimStart().startsWith("#"));
  const [first, ...rest] = lines.map(({ line, number }) => new Scanner(line, number));
  const last = rest.pop();
  if (!first || !last)
    throw new LfmcError("graph/syntax", "expected at least the lines graph … and output …", {
      subject: "text",
      hint: "give what printGraph wrote",
    });
  const name = parseItem(first, "graph", (scanner) => scanner.quoted());
  const constants: Constant[] = [];
  const parsed: ParsedNode[] = [];
  for (const scanner of rest) {
    if (scanner.take("const ")) {
      if (parsed.length > 0) scanner.fail("a node: constants come first");
      constants.push(parseConstant(scanner));
    } else {
      parsed.push(parseNode(scanner));
    }
  }
  const output = parseItem(last, "output", (scanner) => scanner.name());
  const graph: Graph = { name, constants, nodes: parsed.map(({ node }) => node), output };
  verifyGraph(graph);
  checkTypes(graph, parsed);
  return graph;
}

/** A line of a keyword and one item. */
function parseItem<T>(scanner: Scanner, keyword: string, item: (scanner: Scanner) => T): T {
  scanner.expect(keyword);
  const value = item(scanner);
  scanner.end();
  return value;
}

function parseConstant(scanner: Scanner): Constant {
  const { name, type } = parseTypedName(scanner);
  scanner.expect("=");
  const sources = [parseSource(scanner)];
  while (scanner.take(",")) sources.push(parseSource(scanner));
  scanner.end();
  return { name, type, sources };
}

function parseSource(scanner: Scanner): TensorSlice {
  const tensor = scanner.quoted();
  const shape = scanner.list("[", "]", () => scanner.index());
  if (!scanner.take("rows")) {
    return { tensor, shape, start: 0, count: shape.slice(0, -1).reduce((product, size) => product * size, 1) };
  }
  const start = scanner.index();
  scanner.expect("..");
  return { tensor, shape, start, count: scanner.index() - start + 1 };
}

function parseNode(scanner: Scanner): ParsedNode {
  const results = [parseTypedName(scanner)];
  while (scanner.take(",")) results.push(parseTypedName(scanner));
  scanner.expect("=");
  const op = scanner.name();
  const inputs = scanner.list("(", ")", () => scanner.name());
  const attributes: Record<string, Attribute> = {};
  for (let name = scanner.tryMatch(/[A-Za-z0-9_.-]+/y); name !== undefined; name = scanner.tryMatch(/[A-Za-z0-9_.-]+/y)) {
    if (Object.hasOwn(attributes, name)) scanner.fail(`each attribute once; ${name} was given before`);
    scanner.expect("=");
    attributes[name] = parseAttribute(scanner);
  }
  scanner.end();
  return { results, node: { op, inputs, outputs: results.map(({ name }) => name), attributes } };
}

function parseAttribute(scanner: Scanner): Attribute {
  if (scanner.take("true")) return true;
  if (scanner.take("false")) return false;
  if (scanner.take("null")) return null;
  const number = scanner.tryMatch(/-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/y);
  return number === undefined ? scanner.quoted() : Number(number);
}

function parseTypedName(scanner: Scanner): TypedName {
  const name = scanner.name();
  scanner.expect(":");
  const word = scanner.name();
  const encoding = encodings.find((candidate) => candidate === word) ?? scanner.fail(`an encoding in place of ${word}`);
  const shape = scanner.list("[", "]", (): Dimension => {
    if (scanner.take("rows")) return "rows";
    return scanner.take("logits") ? "logits" : scanner.index();
  });
  return { name, type: { shape, encoding } };
}

function checkTypes(graph: Graph, parsed: readonly ParsedNode[]): void {
  const types = inferTypes(graph);
  for (const { name, type } of parsed.flatMap(({ results }) => results)) {
    const inferred = types.get(name);
    const [said, found] = [formatType(type), inferred ? formatType(inferred) : "nothing"];
    if (said !== found)
      throw new LfmcError("graph/invalid", `the text says ${said}, the op gives ${found}`, {
        subject: name,
        hint: "correct the type in the text",
      });
  }
}
