/** The key-value cache is stored in the format asked for: attention(q, k, v) -> attention(q, k, v, kv = format). */
import type { KvFormat } from "../graph/kv-cache.ts";
import type { Pass } from "./pass.ts";

/** The pass that sets the cache format of every attention. */
export function kvFormat(format: KvFormat): Pass {
  return {
    name: "kv-format",
    run: (graph) => ({
      ...graph,
      nodes: graph.nodes.map((node) => (node.op === "attention" ? { ...node, attributes: { ...node.attributes, kv: format } } : node)),
    }),
  };
}
