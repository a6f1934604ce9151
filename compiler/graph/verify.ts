/**
 * What every graph satisfies, whoever made it: the importer, a pass or the parser. Stages downstream rely on it and check nothing
 * again.
 */
import { LfmcError } from "../errors.ts";
import { formatType, weightEncodings } from "./operands.ts";
import { inferTypes } from "./types-of.ts";
import type { Attribute, Constant, Graph, TensorSlice, ValueName } from "./types.ts";

const legalName = /^[A-Za-z0-9_.-]+$/;

/** Throws graph/invalid, naming the value at fault, unless the graph holds to its invariants (README.md lists them). */
export function verifyGraph(graph: Graph): void {
  for (const constant of graph.constants) verifyConstant(constant);
  const types = inferTypes(graph);
  for (const name of types.keys()) {
    if (!legalName.test(name)) fail(name, `is no legal name; names match ${legalName.source}`);
  }
  verifyAttributes(graph);
  verifyStates(graph);
  const output = types.get(graph.output);
  if (!output) return fail(graph.output, "is the graph's output and not defined");
  const [rows, ...rest] = output.shape;
  if (rows !== "logits" || rest.length !== 1 || output.encoding !== "f32") {
    fail(graph.output, `is the graph's output and ${formatType(output)}, expected f32[logits, vocabulary]`);
  }
}

function fail(subject: ValueName, fact: string): never {
  throw new LfmcError("graph/invalid", fact, { subject, hint: "correct the graph: graph/README.md tells its rules" });
}

function verifyConstant({ name, type, sources }: Constant): void {
  const shape = type.shape.filter((size) => typeof size === "number");
  if (shape.length !== type.shape.length || shape.length === 0 || !shape.every(isCount)) {
    fail(name, `is a constant and ${formatType(type)}; its axes must be numbers from 1`);
  }
  if (!weightEncodings.includes(type.encoding)) fail(name, `is a constant in ${type.encoding}, expected ${weightEncodings.join(", ")}`);
  for (const source of sources) verifySource(name, shape, source);
  const elements = sources.reduce((sum, source) => sum + source.count * (source.shape.at(-1) ?? 1), 0);
  const expected = product(shape);
  if (elements !== expected) fail(name, `has ${expected} elements, its sources ${elements}`);
}

function verifySource(name: ValueName, shape: readonly number[], { tensor, shape: whole, start, count }: TensorSlice): void {
  if (whole.length === 0 || !whole.every(isCount)) fail(name, `its source ${tensor} has shape [${whole.join(", ")}]`);
  const rows = product(whole.slice(0, -1));
  if (!Number.isSafeInteger(start) || start < 0 || !isCount(count) || start + count > rows) {
    fail(name, `takes rows ${start} to ${start + count - 1} of ${tensor}, which has ${rows}`);
  }
  if (shape.length > 1 && shape.at(-1) !== whole.at(-1)) {
    fail(name, `has rows of ${shape.at(-1)} elements, its source ${tensor} of ${whole.at(-1)}`);
  }
}

/** Attributes must print and read back: finite numbers, legal names. */
function verifyAttributes({ nodes }: Graph): void {
  const printable = (value: Attribute): boolean => typeof value !== "number" || Number.isFinite(value);
  for (const { op, outputs, attributes } of nodes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (!legalName.test(name) || !printable(value)) fail(outputs[0] ?? op, `attribute ${name} does not print`);
    }
  }
}

/** No two nodes share a state: each would overwrite the other's past. */
function verifyStates({ nodes }: Graph): void {
  const owners = new Map<Attribute, ValueName>();
  for (const { op, outputs, attributes } of nodes) {
    const { state } = attributes;
    if (state === undefined) continue;
    const name = outputs[0] ?? op;
    const owner = owners.get(state);
    if (owner !== undefined) fail(name, `has state ${state}, which is ${owner}'s`);
    owners.set(state, name);
  }
}

function isCount(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 1;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
