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
  /** w1, then w3, of each expert: [experts, 2 * expert size, hidden]. */
  readonly gateUp: Constant;
  /** w2, [experts, hidden, expert size]. */
  readonly down: Constant;
}

/** The experts of the feed-forward at `base` (`model.layers.3.feed_forward`), the same two constants for either layout. */
export function expertConstants(
  { expertCount, expertSize }: MoeConfig,
  hiddenSize: number,
  base: string,
  layout: ExpertLayout,
): ExpertConstants {
  const experts = Array.from({ length: expertCount }, (_, expert) => expert);
  const matrix = (expert: number, name: string, rows: number, columns: number): TensorSlice => {
    return { tensor: `${base}.experts.${expert}.${name}.weight`, shape: [rows, columns], start: 0, count: rows };
  };
  const constant = (name: string, rows: number, columns: number, slices: (expert: number) => readonly TensorSlice[]): Constant => {
    const stored = `${base}.experts.${name}`;
    const shape = [expertCount, rows, columns];
    const sources = layout === "stacked" ? [{ tensor: stored, shape, start: 0, count: expertCount * rows }] : experts.flatMap(slices);
    return { name: stored, type: { shape, encoding: "f32" }, sources };
  };
  return {
    gateUp: constant("gate_up_proj", 2 * expertSize, hiddenSize, (expert) =>
      ["w1", "w3"].map((name) => matrix(expert, name, expertSize, hiddenSize)),
    ),
    down: constant("down_proj", hiddenSize, expertSize, (expert) => [matrix(expert, "w2", hiddenSize, expertSize)]),
  };
}
