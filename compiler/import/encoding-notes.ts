/** What a compile does with the types in which a file holds a model's tensors, in words. */
import type { Encoding, Graph } from "../graph/types.ts";
import { groupFormatNamed } from "../numeric/weight-groups.ts";
import { blockTypeNamed, holdsExactly } from "./gguf/blocks.ts";
import type { TensorInfo } from "./weight-store.ts";

/**
 * One line for each type of quantised matrices (each expert has its own) and what it becomes in `graph`, whose constants have the chosen encodings: "113 matrices in
 * Q4_0: kept bit for bit". Types of floats need no words.
 */
export function encodingNotes(graph: Graph, tensors: ReadonlyMap<string, TensorInfo>): readonly string[] {
  const chosen = new Map(graph.constants.flatMap(({ sources, type }) => sources.map(({ tensor }) => [tensor, type.encoding] as const)));
  const counts = new Map<string, number>();
  for (const [tensor, encoding] of chosen) {
    const dtype = tensors.get(tensor)?.dtype ?? "";
    const done = whatIsDone(dtype, encoding);
    if (done !== null) counts.set(`${dtype}: ${done}`, (counts.get(`${dtype}: ${done}`) ?? 0) + 1);
  }
  return [...counts].map(([line, count]) => `${count} ${count === 1 ? "matrix" : "matrices"} in ${line}`).toSorted();
}

function whatIsDone(dtype: string, encoding: Encoding): string | null {
  const type = blockTypeNamed(dtype);
  if (type?.kind !== "blocks") return null;
  const format = groupFormatNamed(encoding);
  if (format && holdsExactly(type, format))
    return type.name.toLowerCase() === encoding ? "kept bit for bit" : `kept, in groups of ${encoding}`;
  if (encoding === type.keep) return `as ${encoding}, in more steps`;
  return encoding === "f32" ? "as f32" : `rounded anew, to ${encoding}`;
}
