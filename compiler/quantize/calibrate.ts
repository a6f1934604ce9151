/**
 * What a model's matrices are multiplied by while it reads a text: second moments (moments.ts) of the inputs of every matrix, of each expert
 * alone, in f32 and without any pass. Matrices that read the same input share its moments.
 */
import { required } from "../errors.ts";
import { SessionState } from "../graph/state.ts";
import { lastAxis, type DenseTensor } from "../graph/tensor.ts";
import type { Constant, ValueName } from "../graph/types.ts";
import { evaluate, type DenseModel, type ProductObserver } from "./dense-model.ts";
import { LookupMoments } from "./lookup.ts";
import { Moments } from "./moments.ts";

/** Rows of a checkpoint tensor that are multiplied by the same inputs. */
export interface CalibratedRows {
  readonly start: number;
  readonly count: number;
  readonly moments: Moments;
}

/** By checkpoint tensor. Tensors that are multiplied by nothing are not there. */
export interface Calibration {
  readonly rows: ReadonlyMap<string, readonly CalibratedRows[]>;
  /** Of tensors whose rows are looked up by token, beside what they multiply or instead: what errors of such rows cost. */
  readonly lookups: ReadonlyMap<string, Moments>;
}

/** Called as work is done: `done` of `total`. */
export type OnProgress = (progress: {
  readonly stage: "sampling" | "calibrating" | "measuring";
  readonly done: number;
  readonly total: number;
}) => void;

/** Rows of a call: more would only take memory. */
const rowsAtOnce = 128;

/** Calibrates on windows of tokens, each read from an empty session on. */
export function calibrate(model: DenseModel, windows: readonly (readonly number[])[], onProgress?: OnProgress): Calibration {
  const collector = new Collector(model);
  const tables = tablesOf(model).map((table) => ({ table, lookup: new LookupMoments(model, Number(table.type.shape.at(-1))) }));
  const total = windows.reduce((sum, { length }) => sum + length, 0);
  const observe: ProductObserver = (x, weight, first, count) => {
    collector.observe(x, weight, first, count);
  };
  let done = 0;
  for (const window of windows) {
    const state = new SessionState();
    for (let start = 0; start < window.length; start += rowsAtOnce) {
      const tokens = window.slice(start, start + rowsAtOnce);
      const rows = tokens.map((token, i) => ({ token, slot: 0, position: start + i, wantsLogits: true }));
      const values = evaluate(model, rows, state, observe);
      for (const { lookup } of tables) lookup.observe(values);
      done += rows.length;
      onProgress?.({ stage: "calibrating", done, total });
    }
  }
  const lookups = tables.flatMap(({ table, lookup }) => table.sources.map(({ tensor }) => [tensor, lookup.moments()] as const));
  return { rows: collector.byTensor(), lookups: new Map(lookups) };
}

/** Rows of a constant and what they are multiplied by. */
interface ObservedRows {
  readonly constant: Constant;
  readonly first: number;
  readonly count: number;
  readonly moments: Moments;
}

class Collector {
  readonly #names: ReadonlyMap<Float32Array, Constant>;
  readonly #observed = new Map<string, ObservedRows>();
  /** The product before: matrices that read the same input come one after the other and share its moments. An expert's come before another's. */
  #previous: { readonly x: Float32Array; readonly moments: Moments } | null = null;

  constructor({ graph, constants }: DenseModel) {
    this.#names = new Map(graph.constants.map((constant) => [required(constants.get(constant.name), constant.name).data, constant]));
  }

  observe(x: DenseTensor, weight: DenseTensor, first: number, count: number): void {
    const constant = required(this.#names.get(weight.data), "constant of a product");
    const key = `${constant.name} ${first}`;
    const before = this.#previous?.x === x.data ? this.#previous.moments : null;
    const moments = this.#observed.get(key)?.moments ?? before ?? new Moments(lastAxis(x.shape));
    this.#observed.set(key, { constant, first, count, moments });
    if (moments !== before) moments.add(x.data);
    this.#previous = { x: x.data, moments };
  }

  byTensor(): ReadonlyMap<string, readonly CalibratedRows[]> {
    const rows = new Map<string, CalibratedRows[]>();
    for (const { constant, first, count, moments } of this.#observed.values()) {
      let at = 0;
      for (const { tensor, start, count: length } of constant.sources) {
        const [from, to] = [Math.max(first, at), Math.min(first + count, at + length)];
        if (from < to) rows.set(tensor, [...(rows.get(tensor) ?? []), { start: start + from - at, count: to - from, moments }]);
        at += length;
      }
    }
    return rows;
  }
}

function tablesOf({ graph }: DenseModel): readonly Constant[] {
  const names = new Set<ValueName>(graph.nodes.flatMap(({ op, inputs }) => (op === "embedding" ? inputs : [])));
  return graph.constants.filter(({ name }) => names.has(name));
}
