/**
 * Where logits come from: an artefact that the runtime has loaded, or a model as it was imported, run by the graph interpreter in plain
 * f32. Both are read a few rows a call, so that the logits of a whole window need not be held.
 */
import { createInterpreter } from "../graph/interpret.ts";
import type { Row } from "../graph/types.ts";
import { importModel } from "../import/model.ts";
import { readConstant } from "../import/read-constant.ts";
import type { Model } from "../../runtime/model.ts";

export interface LogitSource {
  readonly vocabulary: number;
  /** Positions that a window can have. */
  readonly context: number;
  /** Reads `tokens` from an empty session on and yields the logits after each one: [vocabulary], valid until the next is asked for. */
  logits(tokens: readonly number[]): Generator<Float32Array, void, void>;
}

/** Rows of one call of the interpreter. */
const interpretedRows = 64;
const slot = 0;

/** The logits of an artefact, whose first slot must be free. */
export function artefactLogits(model: Model): LogitSource {
  const { context, prefillChunk, logitRows } = model.manifest.limits;
  const perCall = Math.min(prefillChunk, logitRows);
  const forward = (rows: readonly Row[]) => model.forward(rows);
  return { vocabulary: model.manifest.model.vocabSize, context, logits: (tokens) => inCalls(tokens, perCall, forward) };
}

/** The f32 reference: a model's graph without any pass, in reference arithmetic. Throws what importModel does. */
export async function referenceLogits(path: string): Promise<LogitSource> {
  const { graph, store, config } = await importModel(path);
  try {
    const interpreter = await createInterpreter(graph, (constant) => readConstant(store, constant), "reference");
    const forward = (rows: readonly Row[]) => interpreter.forward(rows).logits;
    return { vocabulary: config.vocabSize, context: config.maxPositions, logits: (tokens) => inCalls(tokens, interpretedRows, forward) };
  } finally {
    await store.close();
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
