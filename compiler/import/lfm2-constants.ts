/**
 * The weights of an LFM2 graph: for each constant its name, its shape in the graph, and where in the checkpoint its rows lie. Only here
 * does the checkpoint's spelling meet the graph's: the convolution loses its middle axis, experts become one constant however stored.
 */
import type { Constant, TensorSlice } from "../graph/types.ts";
import type { MoeConfig } from "./config.ts";
import type { ExpertLayout } from "./tensor-names.ts";
import { rowShape } from "./weight-store.ts";

/** A whole checkpoint tensor, named without ".weight"; `shape` regroups its elements where it differs. */
export function wholeTensor(tensor: string, stored: readonly number[], shape: readonly number[] = stored): Constant {
  const source: TensorSlice = { tensor, shape: stored, start: 0, count: rowShape(stored).rows };
  return { name: tensor.replace(/\.weight$/, ""), type: { shape, encoding: "f32" }, sources: [source] };
}

export interface ExpertConstants {
  /** w1, [experts, expert size, hidden]. */
  readonly gate: Constant;
  /** w3, [experts, expert size, hidden]. */
  readonly up: Constant;
  /** w2, [experts, hidden, expert size]. */
  readonly down: Constant;
}

/** The experts of the feed-forward at `base` (`model.layers.3.feed_forward`), the same three constants for either layout. */
export function expertConstants(moe: MoeConfig, hiddenSize: number, base: string, layout: ExpertLayout): ExpertConstants {
  const { expertCount, expertSize } = moe;
  const experts = Array.from({ length: expertCount }, (_, expert) => expert);
  const constant = (matrix: string, rows: number, columns: number, stacked: readonly TensorSlice[]): Constant => {
    const separate = experts.map((expert): TensorSlice => {
      return { tensor: `${base}.experts.${expert}.${matrix}.weight`, shape: [rows, columns], start: 0, count: rows };
    });
    const type = { shape: [expertCount, rows, columns], encoding: "f32" } as const;
    return { name: `${base}.experts.${matrix}`, type, sources: layout === "stacked" ? stacked : separate };
  };
  const gateUp = (offset: number): readonly TensorSlice[] =>
    experts.map((expert) => ({
      tensor: `${base}.experts.gate_up_proj`,
      shape: [expertCount, 2 * expertSize, hiddenSize],
      start: expert * 2 * expertSize + offset,
      count: expertSize,
    }));
  const downShape = [expertCount, hiddenSize, expertSize];
  const down: TensorSlice = { tensor: `${base}.experts.down_proj`, shape: downShape, start: 0, count: expertCount * hiddenSize };
  return {
    gate: constant("w1", expertSize, hiddenSize, gateUp(0)),
    up: constant("w3", expertSize, hiddenSize, gateUp(expertSize)),
    down: constant("w2", hiddenSize, expertSize, [down]),
  };
}
