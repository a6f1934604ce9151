/** Matrix products: where several tiles would do, the cheapest by the cost formula is taken. */
import { required } from "../errors.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { packedTiles } from "../kernel/atom.ts";
import { countKernel } from "../kernel/count.ts";
import { gemm, tileBytes, type GemmSpec } from "../kernel/library/gemm.ts";
import { panelCount, panelRows } from "../kernel/library/panels.ts";
import {
  activations,
  call,
  input,
  output,
  partsOf,
  scratch,
  value,
  weight,
  type KernelCall,
  type Operand,
  type SelectContext,
} from "./kernel-call.ts";
import type { TargetFacts } from "./target-facts.ts";

/** The product of a node's first input with its second. */
export function product(
  node: Node,
  context: SelectContext,
  epilogue: GemmSpec["epilogue"],
  args: Readonly<Record<string, Operand>>,
): KernelCall {
  const [x, matrix] = [input(node, 0), input(node, 1)];
  const isQuantized = context.typeOf(x).encoding === "q8";
  const spec = { inputStride: isQuantized ? null : context.strideOf(x), byExpert: false, epilogue };
  return productCall(node, context, matrix, spec, { ...activations(isQuantized, partsOf(x)), out: value(output(node)), ...args });
}

/** A matrix product with the tile that costs least. */
export function productCall(
  node: Node,
  context: SelectContext,
  matrix: ValueName,
  shape: Omit<GemmSpec, "layout" | "atom" | "tile">,
  args: Readonly<Record<string, Operand>>,
): KernelCall {
  const layout = context.layoutOf(matrix);
  const spec = cheapestTile(context, { ...shape, layout });
  return call(
    node,
    context,
    gemm(spec),
    { weights: weight(matrix), tile: scratch, ...args },
    { scratchBytes: tileBytes(spec), axis: { loop: "panels", units: Math.ceil(panelCount(layout) / spec.tile.panels) } },
  );
}

/** Tiles for f32 activations: sixteen accumulators of four lanes. */
const floatTiles = packedTiles(4, 2, 1);

function cheapestTile(context: SelectContext, spec: Omit<GemmSpec, "atom" | "tile">): GemmSpec {
  const candidates = (spec.inputStride === null ? context.target.atoms : [null]).flatMap((atom) => {
    const tiles = atom?.tiles ?? floatTiles;
    const filled = tiles.filter(({ rows }) => rows <= context.limits.prefillChunk);
    // Where no call fills a tile, all rows go the way of those that are left.
    const possible = filled.length > 0 ? filled : tiles.toSorted((a, b) => a.rows - b.rows).slice(0, 1);
    return possible.map((tile): GemmSpec => ({ ...spec, atom, tile }));
  });
  const costs = candidates.map((candidate) => ({ candidate, cost: tileCost(candidate, context.target) }));
  const [best] = costs.toSorted((a, b) => a.cost - b.cost);
  return required(best, `dot atom for ${context.target.variant}`).candidate;
}

/** Rows of a call for which tiles are chosen. */
const usualRows = 64;

/**
 * The cost of a tile: vector instructions a row, of one panel and a few columns. On WASM SIMD four rows a tile beat two by 10 to 20 %
 * and one by 40 % although they spill (EPYC 9004, Node 26.10), so spilling has no term of its own.
 */
export function tileCost(spec: GemmSpec, { vectorBytes }: TargetFacts): number {
  const columns = 256;
  const rows = spec.tile.rows * Math.max(1, Math.floor(usualRows / spec.tile.rows));
  const layout = { ...spec.layout, matrices: 1, rows: panelRows, columns };
  const sample = { ...spec, layout, byExpert: false, inputStride: spec.inputStride === null ? null : columns };
  const { operations, loads } = countKernel(gemm(sample), { rows }, { vectorBytes });
  return (operations + loads) / rows;
}
