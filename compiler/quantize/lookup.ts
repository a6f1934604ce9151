/**
 * What errors of a looked-up table cost. A token's row stays in the residual stream, so every matrix that reads a norm of the stream reads the
 * row's error too: E[(W g e / r)^2], with g the norm's weight and r the root mean square that it divides by. The sum over these matrices
 * takes the place of second moments: their rows, times g / r, are the inputs.
 */
import { required } from "../errors.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { denseData, type DenseModel, type Values } from "./dense-model.ts";
import { Moments } from "./moments.ts";

/** A norm of the stream, and the matrices that read it. */
interface Reader {
  readonly norm: Node;
  readonly matrices: readonly ValueName[];
}

/** Sees the values of calls, for the sake of the norms' divisors. */
export class LookupMoments {
  readonly #model: DenseModel;
  /** Elements of a row of the table. */
  readonly #width: number;
  readonly #readers: readonly Reader[];
  /** Sum of the squares that each norm read, and their number. */
  readonly #squares = new Map<Reader, { sum: number; count: number }>();

  constructor(model: DenseModel, width: number) {
    this.#model = model;
    this.#width = width;
    this.#readers = model.graph.nodes.flatMap((norm) =>
      norm.op === "rms-norm" && norm.attributes.width === width ? [readerOf(model, norm)] : [],
    );
  }

  observe(values: Values): void {
    for (const reader of this.#readers) {
      const data = denseData(values.get(required(reader.norm.inputs[0], "input of a norm")));
      const squares = this.#squares.get(reader) ?? { sum: 0, count: 0 };
      for (const x of data) squares.sum += x * x;
      squares.count += data.length;
      this.#squares.set(reader, squares);
    }
  }

  moments(): Moments {
    const moments = new Moments(this.#width);
    const { constants } = this.#model;
    const row = new Float32Array(this.#width);
    for (const reader of this.#readers) {
      const { sum, count } = this.#squares.get(reader) ?? { sum: 0, count: 0 };
      if (sum === 0) continue;
      const divisor = Math.sqrt(sum / count);
      const gains = denseData(constants.get(required(reader.norm.inputs[1], "weight of a norm")));
      for (const name of reader.matrices) {
        const weights = denseData(constants.get(name));
        for (let start = 0; start < weights.length; start += this.#width) {
          for (let k = 0; k < this.#width; k++) row[k] = ((weights[start + k] ?? 0) * (gains[k] ?? 0)) / divisor;
          moments.add(row);
        }
      }
    }
    return moments;
  }
}

/** The matrices that a norm's output is multiplied by: of experts the first ones. */
function readerOf({ graph }: DenseModel, norm: Node): Reader {
  const products = graph.nodes.filter(({ op, inputs }) => (op === "linear" || op === "experts") && norm.outputs.includes(inputs[0] ?? ""));
  return { norm, matrices: products.map(({ op, inputs }) => required(inputs[op === "linear" ? 1 : 3], `matrix of ${op}`)) };
}
