/**
 * A session's state: one contiguous block at its slot, so that save, fork and restore are copies. It holds, layer by layer, the KV
 * cache of attention and the ring of recent gated rows of the short convolution; then the checkpoints of the rings, to which a session
 * rewinds further than its rings reach.
 */
import { internal } from "../errors.ts";
import type { Graph, Node } from "../graph/types.ts";
import { cacheBytes, cachedPositions, type KvCacheShape } from "../kernel/library/kv-cache.ts";
import { kvFormats } from "../kernel/library/kv-formats.ts";
import { f32Bytes } from "../kernel/library/lanes.ts";
import { panelRows } from "../kernel/library/panels.ts";
import { roundUp } from "../numeric/quantize.ts";
import { alignment } from "./lifetimes.ts";
import type { Checkpoints, MemoryPlan, Ring } from "./program.ts";

/** Where a layer's state lies inside a slot. */
export interface LayerState {
  readonly offset: number;
  readonly bytes: number;
}

export interface StateLayout {
  readonly slotBytes: number;
  /** By the op's `state` attribute. */
  readonly layers: ReadonlyMap<number, LayerState>;
  readonly rings: readonly Ring[];
  readonly checkpoints: Checkpoints;
}

/** What the state of one session takes, in bytes. */
export interface SessionBytes {
  readonly bytes: number;
  /** Keys and values of every position of the context. */
  readonly kvCacheBytes: number;
  /** Recent rows of the short convolutions. */
  readonly ringBytes: number;
  readonly checkpointBytes: number;
}

/** The bytes of one session by their use; the few that align one layer's state with the next count as the KV cache's. */
export function sessionBytes({ slotBytes, rings, checkpoints }: MemoryPlan["state"]): SessionBytes {
  const ringBytes = rings.reduce((sum, { rows, rowBytes }) => sum + rows * rowBytes, 0);
  const checkpointBytes = checkpoints.bytes;
  return { bytes: slotBytes, kvCacheBytes: slotBytes - ringBytes - checkpointBytes, ringBytes, checkpointBytes };
}

/** Positions between checkpoints: a rewind further than the rings reach evaluates fewer tokens than that again; a tenth of the KV cache's room. */
const checkpointInterval = 128;

/** Rows of a convolution's ring: enough for the taps after a rewind by `rewind` positions. */
export function ringRows(node: Node, rewind: number): number {
  return rewind + Number(node.attributes.width);
}

/** What a cache needs to know of its node. */
export function cacheShape({ attributes }: Node, context: number): KvCacheShape {
  return {
    format:
      Object.values(kvFormats).find(({ name }) => name === attributes.kv)?.name ?? internal(`no cache format ${String(attributes.kv)}`),
    kvHeads: Number(attributes.kvHeads),
    headSize: Number(attributes.headSize),
    context: cachedPositions(context),
  };
}

/** Lays out the state of all layers; `channelsOf` gives a convolution's channels. */
export function layoutState(
  graph: Graph,
  limits: { readonly context: number; readonly rewind: number },
  channelsOf: (node: Node) => number,
): StateLayout {
  const layers = new Map<number, LayerState>();
  const rings: Ring[] = [];
  let slotBytes = 0;
  for (const node of graph.nodes) {
    const bytes = stateBytes(node, limits, channelsOf);
    if (bytes === 0) continue;
    layers.set(Number(node.attributes.state), { offset: slotBytes, bytes });
    if (node.op === "gated-short-conv") rings.push(ringOf(node, limits.rewind, slotBytes, bytes));
    slotBytes += roundUp(bytes, alignment);
  }
  const checkpoints = { ...checkpointRoom(rings, limits.context), offset: slotBytes };
  return { slotBytes: roundUp(slotBytes + checkpoints.bytes, alignment), layers, rings, checkpoints };
}

function ringOf(node: Node, rewind: number, offset: number, bytes: number): Ring {
  const rows = ringRows(node, rewind);
  return { offset, rows, rowBytes: bytes / rows, reads: Number(node.attributes.width) - 1 };
}

/** One checkpoint for every interval that begins inside the context, but the first, which begins with nothing. */
function checkpointRoom(rings: readonly Ring[], context: number): { readonly bytes: number; readonly interval: number } {
  const checkpointBytes = rings.reduce((sum, { reads, rowBytes }) => sum + reads * rowBytes, 0);
  return { bytes: Math.floor((context - 1) / checkpointInterval) * checkpointBytes, interval: checkpointInterval };
}

function stateBytes(node: Node, { context, rewind }: { context: number; rewind: number }, channelsOf: (node: Node) => number): number {
  if (node.op === "attention") {
    return cacheBytes(cacheShape(node, context));
  }
  if (node.op === "gated-short-conv") return ringRows(node, rewind) * roundUp(channelsOf(node), panelRows) * f32Bytes;
  return 0;
}
