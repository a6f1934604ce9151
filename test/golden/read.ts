/** The golden cases as the tests read them: the imported model beside the tensors that the reference implementation gave. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readConstant } from "../../compiler/import/read-constant.ts";
import { createInterpreter, type Interpreter } from "../../compiler/graph/interpret.ts";
import type { ArithmeticMode } from "../../compiler/graph/arithmetic/arithmetic.ts";
import type { Graph } from "../../compiler/graph/types.ts";
import { importModel } from "../../compiler/import/model.ts";

export const goldenCases = [
  "dense-tiny",
  "dense-odd",
  "dense-long",
  "dense-extra",
  "moe-tiny",
  "moe-bias",
  "moe-plain",
  "moe-cold",
] as const;

export type GoldenCase = (typeof goldenCases)[number];

/** A tensor of a golden file: F32 or I32, widened to plain numbers. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** Folder of a case's files. */
export function caseFolder(name: GoldenCase): string {
  return fileURLToPath(new URL(`data/${name}`, import.meta.url));
}

/** All tensors of a small safetensors file of F32 and I32. */
export function readSafetensors(path: string): ReadonlyMap<string, GoldenTensor> {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header: unknown = JSON.parse(file.toString("utf8", 8, 8 + headerBytes));
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(asRecord(header))) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = asRecord(entry);
    const [begin, end] = numbers(offsets);
    const bytes = new Uint8Array(file.subarray(8 + headerBytes + (begin ?? 0), 8 + headerBytes + (end ?? 0)));
    if (dtype !== "F32" && dtype !== "I32") throw new Error(`${name} is ${String(dtype)}`);
    tensors.set(name, { shape: numbers(shape), data: dtype === "F32" ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer) });
  }
  return tensors;
}

/** What the reference implementation gave for one case. */
export interface Golden {
  readonly ids: readonly number[];
  readonly greedyIds: readonly number[];
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

export function readGolden(name: GoldenCase): Golden {
  const tensors = readSafetensors(`${caseFolder(name)}/golden.safetensors`);
  const ids = (tensor: string): readonly number[] => [...(tensors.get(tensor)?.data ?? [])];
  return { ids: ids("input_ids"), greedyIds: ids("greedy_ids"), tensors };
}

/** The numbers of one tensor of one of a case's files. */
export function goldenTensor(name: GoldenCase, file: string, tensor: string): Float32Array {
  const found = readSafetensors(`${caseFolder(name)}/${file}.safetensors`).get(tensor)?.data;
  if (found instanceof Float32Array) return found;
  throw new Error(`${name}/${file} has no tensor ${tensor} of numbers`);
}

/** The case's graph, interpreted; `change` is applied to the imported graph first. */
export async function interpretCase(
  name: GoldenCase,
  mode: ArithmeticMode,
  change: (graph: Graph) => Graph = (graph) => graph,
): Promise<Interpreter> {
  const model = await importModel(caseFolder(name));
  try {
    return await createInterpreter(change(model.graph), (constant) => readConstant(model.store, constant), mode);
  } finally {
    await model.store.close();
  }
}

/** Index of the largest number, the first of equals. */
export function argmax(values: Float32Array): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? -Infinity) ? index : best), 0);
}

/** Largest |a - b|; infinite where lengths differ or a number is no number. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? NaN) - (b[i] ?? NaN));
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/** Mean of the Kullback-Leibler divergences of rows of logits: how far `found` is from `expected`, in nats. */
export function meanDivergence(expected: Float32Array, found: Float32Array, rowCount: number): number {
  const width = expected.length / rowCount;
  let sum = 0;
  for (let start = 0; start < expected.length; start += width) {
    const [p, q] = [logProbabilities(expected.subarray(start, start + width)), logProbabilities(found.subarray(start, start + width))];
    p.forEach((logP, i) => (sum += Math.exp(logP) * (logP - (q[i] ?? NaN))));
  }
  return sum / rowCount;
}

function logProbabilities(logits: Float32Array): readonly number[] {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0);
  return Array.from(logits, (logit) => logit - max - Math.log(total));
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw new Error("not an object");
  return { ...value };
}

function numbers(value: unknown): readonly number[] {
  if (!Array.isArray(value)) throw new Error("not a list");
  return value.map(Number);
}
