/**
 * A model in f32 whose values can be looked into, for measurements on it: what its matrices multiply, and what changes where one of them
 * is another. Under the contract but for its products, which are sums in binary64: three times as fast, and as much the same everywhere.
 */
import { internal, required } from "../errors.ts";
import type { Arithmetic } from "../graph/arithmetic/arithmetic.ts";
import { contract } from "../graph/arithmetic/contract.ts";
import { opNamed } from "../graph/ops.ts";
import { SessionState } from "../graph/state.ts";
import { dense, elementCount, lastAxis, rowCount, type DenseTensor, type Tensor } from "../graph/tensor.ts";
import type { Constant, Graph, Row, ValueName } from "../graph/types.ts";
import { readStackedRows } from "../import/read-constant.ts";
import type { WeightStore } from "../import/weight-store.ts";

/** A graph as it was imported, and its constants in f32: all of them at once in memory. */
export interface DenseModel {
  readonly graph: Graph;
  readonly constants: ReadonlyMap<ValueName, DenseTensor>;
}

/** Reads a model's constants. Throws what the store does. */
export async function readDenseModel(graph: Graph, store: WeightStore): Promise<DenseModel> {
  const constants = new Map<ValueName, DenseTensor>();
  for (const constant of graph.constants) {
    const rows = constant.sources.reduce((sum, { count }) => sum + count, 0);
    constants.set(constant.name, denseConstant(constant, await readStackedRows(store, constant.sources, 0, rows)));
  }
  return { graph, constants };
}

/** A constant with these values. */
export function denseConstant({ type }: Constant, values: Float32Array): DenseTensor {
  return dense(
    type.shape.filter((size) => typeof size === "number"),
    values,
  );
}

/** Weights of a constant. */
export function weightCount({ type }: Constant): number {
  return elementCount(type.shape.filter((size) => typeof size === "number"));
}

/** Sees a product before it is computed: x [rows, K] and the first of the weight's rows that it is multiplied by. */
export type ProductObserver = (x: DenseTensor, weight: DenseTensor, first: number, count: number) => void;

/** All values of one call, by name; constants are not among them. */
export type Values = ReadonlyMap<ValueName, Tensor>;

/** Runs a model's nodes over rows of sessions in `state`. */
export function evaluate(
  { graph, constants }: DenseModel,
  rows: readonly Row[],
  state = new SessionState(),
  observe?: ProductObserver,
): Values {
  state.advance(rows);
  const arithmetic = observe ? observed(observe) : measuring;
  const values = new Map<ValueName, Tensor>();
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    const tensors = inputs.map((name) => required(values.get(name) ?? constants.get(name), `value ${name}`));
    const results = opNamed(op, op).evaluate({ arithmetic, rows, state }, tensors, attributes);
    outputs.forEach((name, i) => values.set(name, required(results[i], `output ${name}`)));
  }
  return values;
}

/** The value of the graph's output where the constant `name` is `changed`, given all values of a call whose sessions began with it. */
export function evaluateChanged(
  { graph, constants }: DenseModel,
  rows: readonly Row[],
  known: Values,
  name: ValueName,
  changed: DenseTensor,
): Tensor {
  const state = new SessionState();
  const values = new Map<ValueName, Tensor>([[name, changed]]);
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    if (!inputs.some((input) => values.has(input))) continue;
    const tensors = inputs.map((input) => required(values.get(input) ?? known.get(input) ?? constants.get(input), `value ${input}`));
    const results = opNamed(op, op).evaluate({ arithmetic: measuring, rows, state }, tensors, attributes);
    outputs.forEach((output, i) => values.set(output, required(results[i], `output ${output}`)));
  }
  return required(values.get(graph.output) ?? known.get(graph.output), "output");
}

/** The dense data of a value. */
export function denseData(tensor: Tensor | undefined): Float32Array {
  return tensor?.kind === "dense" ? tensor.data : internal("a value that is not dense");
}

const measuring: Arithmetic = {
  ...contract,
  product: (x, weight, first, count) =>
    x.kind === "dense" && weight.kind === "dense" ? product(x, weight, first, count) : internal("a product of quantised operands"),
};

function observed(observe: ProductObserver): Arithmetic {
  return {
    ...measuring,
    product(x, weight, first, count) {
      if (x.kind === "dense" && weight.kind === "dense") observe(x, weight, first, count);
      return measuring.product(x, weight, first, count);
    },
  };
}

/** x [rows, K] times rows first … first+count-1 of the weight: [rows, count]. */
function product(x: DenseTensor, weight: DenseTensor, first: number, count: number): Float32Array {
  const [rows, width] = [rowCount(x.shape), lastAxis(x.shape)];
  const out = new Float32Array(rows * count);
  const weights = weight.data.subarray(first * width, (first + count) * width);
  // A last odd row goes with itself; past the last weight there is nothing to sum.
  for (let n = 0; n < count; n += 4) {
    for (let row = 0; row < rows; row += 2) tile(x.data, row, Math.min(row + 1, rows - 1), weights, n, width, out, count);
  }
  return out;
}

/** Two rows of x by four of the weight, because one chain of additions leaves the machine idle. */
function tile(
  x: Float32Array,
  row: number,
  other: number,
  weights: Float32Array,
  n: number,
  width: number,
  out: Float32Array,
  count: number,
): void {
  let a0 = 0;
  let a1 = 0;
  let a2 = 0;
  let a3 = 0;
  let b0 = 0;
  let b1 = 0;
  let b2 = 0;
  let b3 = 0;
  const xAt = row * width;
  const yAt = other * width;
  const wAt = n * width;
  for (let k = 0; k < width; k++) {
    const p = x[xAt + k] ?? 0;
    const q = x[yAt + k] ?? 0;
    const s = weights[wAt + k] ?? 0;
    const t = weights[wAt + width + k] ?? 0;
    const u = weights[wAt + 2 * width + k] ?? 0;
    const v = weights[wAt + 3 * width + k] ?? 0;
    a0 += p * s;
    a1 += p * t;
    a2 += p * u;
    a3 += p * v;
    b0 += q * s;
    b1 += q * t;
    b2 += q * u;
    b3 += q * v;
  }
  const [at, below] = [row * count + n, other * count + n];
  out[at] = a0;
  out[below] = b0;
  if (n + 1 < count) [out[at + 1], out[below + 1]] = [a1, b1];
  if (n + 2 < count) [out[at + 2], out[below + 2]] = [a2, b2];
  if (n + 3 < count) [out[at + 3], out[below + 3]] = [a3, b3];
}
