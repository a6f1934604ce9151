/**
 * Where logits come from: an artefact that the runtime has loaded, or a model as it was imported, run by the graph interpreter in plain
 * f32. Both are read a few rows a call, so that the logits of a whole window need not be held.
 */
import type { ArithmeticMode } from "../graph/arithmetic/arithmetic.ts";
import { createInterpreter } from "../graph/interpret.ts";
import type { Row } from "../graph/types.ts";
import { importModel, type ImportedModel } from "../import/model.ts";
import { readConstant } from "../import/read-constant.ts";
import type { Model } from "../../runtime/model.ts";

export interface LogitSource {
  readonly vocabulary: number;
  /** Positions that a window can have. */
  readonly context: number;
  /** Reads `tokens` from an empty session on and yields the logits after each one: [vocabulary], valid until the next is asked for. */
  readonly logits: (tokens: readonly number[]) => Generator<Float32Array, void, void>;
}

const interpretedRows = 64;
const slot = 0;

/** The logits of an artefact, whose first slot must be free; `chunk` rows a call, where it has room for them. */
export function artefactLogits(model: Model, chunk = Infinity): LogitSource {
  const { context, prefillChunk, logitRows } = model.manifest.limits;
  const perCall = Math.min(chunk, prefillChunk, logitRows);
  const forward = (rows: readonly Row[]) => model.forward(rows);
  return { vocabulary: model.manifest.model.vocabSize, context, logits: (tokens) => inCalls(tokens, perCall, forward) };
}

/** The logits of a graph, run by the interpreter, `chunk` rows a call. Throws what reading the weights does. */
export async function interpretedLogits(
  { graph, store, config }: Pick<ImportedModel, "graph" | "store" | "config">,
  mode: ArithmeticMode,
  chunk = interpretedRows,
): Promise<LogitSource> {
  const interpreter = await createInterpreter(graph, (constant) => readConstant(store, constant), mode);
  const forward = (rows: readonly Row[]) => interpreter.forward(rows).logits;
  return { vocabulary: config.vocabSize, context: config.maxPositions, logits: (tokens) => inCalls(tokens, chunk, forward) };
}

/** The f32 reference: a model's graph without any pass, in reference arithmetic. Throws what importModel does. */
export async function referenceLogits(path: string): Promise<LogitSource> {
  const model = await importModel(path);
  try {
    return await interpretedLogits(model, "reference");
  } finally {
    await model.store.close();
  }
}

function* inCalls(
  tokens: readonly number[],
  perCall: number,
  forward: (rows: readonly Row[]) => readonly Float32Array[],
): Generator<Float32Array, void, void> {
  for (let start = 0; start < tokens.length; start += perCall) {
    yield* forward(tokens.slice(start, start + perCall).map((token, i) => ({ token, slot, position: start + i, wantsLogits: true })));
  }
}
