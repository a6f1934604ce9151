/**
 * What a kernel costs, counted and not timed: instructions, bytes and multiplications, for the cost formula and the roofline. The
 * statements are walked with the loops' trip counts, computed from the kernel's scalar arguments. What depends on memory or on
 * variables is not known here: such a loop runs as often as the caller assumes, and of such a condition the dearer branch is taken.
 */
import { required } from "../errors.ts";
import {
  bytesOfElement,
  bytesOfType,
  operandsOf,
  type For,
  type If,
  type Kernel,
  type Let,
  type Statement,
  type Store,
  type Value,
} from "./ir.ts";
import { operationNamed } from "./ops.ts";

export interface CountOptions {
  /** Bytes of the machine's vectors: an operation whose result has n bytes is ceil(n / vectorBytes) instructions. */
  readonly vectorBytes?: number;
  /** Iterations of loops whose bounds are not known: one number, or by loop name (others run once). */
  readonly assume?: number | Readonly<Record<string, number>>;
}

export interface Traffic {
  readonly loadBytes: number;
  readonly storeBytes: number;
}

export interface Count extends Traffic {
  /** Instructions that read, and that write. */
  readonly loads: number;
  readonly stores: number;
  /** Instructions on vectors and f32 scalars; constants, bitcasts and moves of whole registers are free. */
  readonly operations: number;
  /** Operations on i32 scalars and pointers: addresses, counters. */
  readonly addressing: number;
  /** Multiplications of numbers, lane by lane: two for a result lane of dotPairs; addresses take none. */
  readonly multiplies: number;
  /** Iterations of all loops. */
  readonly iterations: number;
  /** Instructions by operation, loads included. */
  readonly byOperation: Readonly<Record<string, number>>;
  /** Bytes moved by the parameter that they lie behind; what is read twice counts twice. */
  readonly regions: Readonly<Record<string, Traffic>>;
}

interface Walk {
  readonly vectorBytes: number;
  readonly assume: number | Readonly<Record<string, number>>;
  /** The i32 scalars that are known: which ones these are follows from the kernel alone, so what is known is never forgotten. */
  readonly known: Map<number, number>;
  /** Names of the parameters that pointers lead back to. */
  readonly roots: Map<number, string>;
}

const nothing: Count = {
  loads: 0,
  loadBytes: 0,
  stores: 0,
  storeBytes: 0,
  operations: 0,
  addressing: 0,
  multiplies: 0,
  iterations: 0,
  byOperation: {},
  regions: {},
};

/** Counts one run of `kernel`; `scalars` are its scalar arguments by name, of which absent ones are unknown. */
export function countKernel(kernel: Kernel, scalars: Readonly<Record<string, number>>, options: CountOptions = {}): Count {
  const walk: Walk = { vectorBytes: options.vectorBytes ?? 16, assume: options.assume ?? 1, known: new Map(), roots: new Map() };
  for (const { name, value } of kernel.parameters) {
    const scalar = scalars[name];
    if (scalar !== undefined) walk.known.set(value.id, scalar);
    walk.roots.set(value.id, name);
  }
  return countBlock(walk, kernel.body);
}

function countBlock(walk: Walk, statements: readonly Statement[]): Count {
  return statements.reduce((sum, statement) => plus(sum, countStatement(walk, statement), 1), nothing);
}

function countStatement(walk: Walk, statement: Statement): Count {
  switch (statement.kind) {
    case "let":
      return countLet(walk, statement);
    case "store":
      return countStore(walk, statement);
    case "prefetch":
      return nothing;
    case "declare":
    case "assign":
    case "read":
      follow(walk, statement);
      return nothing;
    case "for":
      return countLoop(walk, statement);
    case "if":
      return countCondition(walk, statement);
  }
}

/** a + times * b, in every figure. */
function plus(a: Count, b: Count, times: number): Count {
  if (b === nothing) return a;
  return {
    loads: a.loads + times * b.loads,
    loadBytes: a.loadBytes + times * b.loadBytes,
    stores: a.stores + times * b.stores,
    storeBytes: a.storeBytes + times * b.storeBytes,
    operations: a.operations + times * b.operations,
    addressing: a.addressing + times * b.addressing,
    multiplies: a.multiplies + times * b.multiplies,
    iterations: a.iterations + times * b.iterations,
    byOperation: merged(a.byOperation, b.byOperation, (x = 0, y) => x + times * y),
    regions: merged(a.regions, b.regions, (x = nothing, y) => ({
      loadBytes: x.loadBytes + times * y.loadBytes,
      storeBytes: x.storeBytes + times * y.storeBytes,
    })),
  };
}

function merged<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  add: (x: T | undefined, y: T) => T,
): Readonly<Record<string, T>> {
  return { ...a, ...Object.fromEntries(Object.entries(b).map(([key, value]) => [key, add(a[key], value)])) };
}

function countLet(walk: Walk, statement: Let): Count {
  const { op, args, result } = statement;
  remember(walk, statement);
  const count = instructions(statement, walk.vectorBytes);
  const byOperation = count === 0 ? {} : { [op]: count };
  if (op.startsWith("load")) {
    const bytes = loadedBytes(statement);
    return {
      ...nothing,
      loads: count,
      loadBytes: bytes,
      byOperation,
      regions: { [rootOf(walk, args[0])]: { loadBytes: bytes, storeBytes: 0 } },
    };
  }
  const addresses = result.type.lanes === 1 && result.type.element !== "f32";
  const multiplies = addresses ? 0 : result.type.lanes * (productsPerLane[op] ?? 0);
  return { ...nothing, operations: addresses ? 0 : count, addressing: addresses ? count : 0, multiplies, byOperation };
}

/** Multiplications behind one lane of a result. */
const productsPerLane: Readonly<Record<string, number>> = {
  mul: 1,
  mulWiden: 1,
  dotPairs: 2,
  dotPairsUS: 2,
  dotQuadsUS: 4,
  dotQuadsSS: 4,
  dotMatrix: 8,
  dotTile: 32,
};

/** Keeps what is known of the result: its number, or where it points. */
function remember(walk: Walk, { op, args, immediates, result }: Let): void {
  if (op === "advance") walk.roots.set(result.id, rootOf(walk, args[0]));
  const { meaning } = operationNamed(op);
  const numbers = args.map((arg) => walk.known.get(arg.id));
  if (!meaning || result.type.element !== "i32" || result.type.lanes !== 1) return;
  const lanes = numbers.flatMap((number) => (number === undefined ? [] : [[number]]));
  if (lanes.length < args.length) return;
  const operands = args.map((arg) => arg.type);
  walk.known.set(result.id, required(meaning(lanes, immediates, result.type, operands)[0], "lane"));
}

function rootOf(walk: Walk, pointer: Value | undefined): string {
  return required(walk.roots.get(pointer?.id ?? -1), "parameter of a pointer");
}

/** Variables carry pointers; numbers in them are not known. */
function follow(walk: Walk, statement: Extract<Statement, { kind: "declare" | "assign" | "read" }>): void {
  const { variable } = statement;
  if (variable.type.element !== "ptr") return;
  if (statement.kind === "declare") walk.roots.set(variable.variable, rootOf(walk, statement.initial));
  if (statement.kind === "read") walk.roots.set(statement.result.id, required(walk.roots.get(variable.variable), "parameter of a pointer"));
}

function loadedBytes({ op, immediates, result }: Let): number {
  if (op === "load8") return 1;
  if (op === "load16") return 2;
  return bytesOfElement(result.type.element) * required(immediates[1], "count");
}

function instructions(statement: Let, vectorBytes: number): number {
  const { op, args, result } = statement;
  if (op === "const" || op === "bitcast") return 0;
  if (op.startsWith("load")) return Math.ceil(loadedBytes(statement) / vectorBytes);
  if (op === "concat" && args.every((arg) => bytesOfType(arg.type) % vectorBytes === 0)) return 0;
  if (op === "shuffle") return shuffleInstructions(statement, vectorBytes);
  return Math.max(1, Math.ceil(bytesOfType(result.type) / vectorBytes));
}

/** One for each register of the result that is not simply a register of an operand. */
function shuffleInstructions({ immediates, result }: Let, vectorBytes: number): number {
  const lanes = vectorBytes / bytesOfElement(result.type.element);
  const registers = Array.from({ length: Math.ceil(immediates.length / lanes) }, (_, i) => immediates.slice(i * lanes, (i + 1) * lanes));
  return registers.filter(([first = 0, ...rest]) => first % lanes !== 0 || rest.some((lane, i) => lane !== first + i + 1)).length;
}

function countStore(walk: Walk, { pointer, element, count }: Store): Count {
  const bytes = bytesOfElement(element) * count;
  const regions = { [rootOf(walk, pointer)]: { loadBytes: 0, storeBytes: bytes } };
  return { ...nothing, stores: Math.ceil(bytes / walk.vectorBytes), storeBytes: bytes, regions };
}

function countLoop(walk: Walk, { name, index, from, to, step, body }: For): Count {
  const [first, last] = [walk.known.get(from.id), walk.known.get(to.id)];
  const trips = first === undefined || last === undefined ? assumed(walk, name) : Math.max(0, Math.ceil((last - first) / step));
  if (first === undefined || last === undefined || !steers(body, new Set([index.id]))) {
    return plus({ ...nothing, iterations: trips }, countBlock(walk, body), trips);
  }
  let sum: Count = { ...nothing, iterations: trips };
  for (let i = first; i < last; i += step) {
    walk.known.set(index.id, i);
    sum = plus(sum, countBlock(walk, body), 1);
  }
  return sum;
}

function assumed({ assume }: Walk, name: string): number {
  return typeof assume === "number" ? assume : (assume[name] ?? 1);
}

/** Whether some loop's bound or some condition in the block follows from the values in `seeds`, which grow by what is computed of them. */
function steers(statements: readonly Statement[], seeds: Set<number>): boolean {
  return statements.some((statement) => {
    const touched = operandsOf(statement).some((operand) => seeds.has(operand.id));
    if (statement.kind === "let" && touched) seeds.add(statement.result.id);
    if (statement.kind === "for") return touched || steers(statement.body, seeds);
    if (statement.kind === "if") return touched || steers(statement.then, seeds) || steers(statement.otherwise, seeds);
    return false;
  });
}

function countCondition(walk: Walk, { condition, then, otherwise }: If): Count {
  const known = walk.known.get(condition.id);
  if (known !== undefined) return countBlock(walk, known === 0 ? otherwise : then);
  const [yes, no] = [countBlock(walk, then), countBlock(walk, otherwise)];
  return weight(yes) < weight(no) ? no : yes;
}

function weight({ loads, stores, operations, addressing }: Count): number {
  return loads + stores + operations + addressing;
}
