/** Matrix products: of the tiles that would do, the best is taken, as far as a call can fill it. */
import { required } from "../errors.ts";
import type { Node, ValueName } from "../graph/types.ts";
import { tilesOf, widthOf } from "../kernel/atom.ts";
import { gemm, panelSetCount, tileBytes, type GemmSpec } from "../kernel/library/gemm.ts";
import { isGrouped } from "../kernel/library/panels.ts";
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

/** A matrix product with the best tile. */
export function productCall(
  node: Node,
  context: SelectContext,
  matrix: ValueName,
  shape: Omit<GemmSpec, "layout" | "atom" | "tile">,
  args: Readonly<Record<string, Operand>>,
): KernelCall {
  const layout = context.layoutOf(matrix);
  const spec = { ...shape, layout, ...bestTile(context, { ...shape, layout }) };
  return call(
    node,
    context,
    gemm(spec),
    { weights: weight(matrix), tile: scratch, ...args },
    { scratchBytes: tileBytes(spec), axis: { loop: "panels", units: panelSetCount(spec) } },
  );
}

/** Tiles for f32 activations, best first: sixteen accumulators of four lanes. */
const floatTiles = tilesOf([4, 2, 1]);

/** The first tile, in the order of atoms and of their tiles, that a call can fill; else the last: then all rows go the way of those that are left. */
function bestTile(
  { target, limits }: SelectContext,
  { inputStride, layout: { encoding } }: Pick<GemmSpec, "inputStride" | "layout">,
): Pick<GemmSpec, "atom" | "tile"> {
  const candidates =
    inputStride === null && isGrouped(encoding)
      ? target.atoms.flatMap((atom) => atom.tiles[widthOf(encoding.weights)].map((tile) => ({ atom, tile })))
      : floatTiles.map((tile) => ({ atom: null, tile }));
  const filled = candidates.find(({ tile }) => tile.rows <= limits.prefillChunk);
  return required(filled ?? candidates.at(-1), `tile of ${target.variant}`);
}
