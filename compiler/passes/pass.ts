/**
 * What a pass is, and the column that runs passes. A pass is a pure function from graph to graph that keeps every name the
 * outside may know: the output's, and those of all values that still exist.
 */
import { InternalError, LfmcError } from "../errors.ts";
import type { Graph } from "../graph/types.ts";
import { verifyGraph } from "../graph/verify.ts";

export interface Pass {
  readonly name: string;
  /** Takes a verified graph and returns one. A graph without the pass's pattern comes back as it was. */
  readonly run: (graph: Graph) => Graph;
}

/** Runs the passes one after the other. Throws an `InternalError` that names the pass whose result is not a valid graph. */
export function runPasses(graph: Graph, passes: readonly Pass[]): Graph {
  return passes.reduce((current, pass) => verified(pass.run(current), pass.name), graph);
}

function verified(graph: Graph, pass: string): Graph {
  try {
    verifyGraph(graph);
  } catch (cause) {
    if (cause instanceof LfmcError) throw new InternalError(`after pass ${pass}: ${cause.message}`, { cause });
    throw cause;
  }
  return graph;
}
