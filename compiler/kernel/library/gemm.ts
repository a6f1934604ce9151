/**
 * The matrix product: y[row, n] = sum over k of x[row, k] * w[n, k], for every row of a call, or for the rows of each expert with a
 * matrix of its own. This skeleton owns the loops: experts, panels, then tiles of rows, then the rows that are left. The inner product
 * of a tile is one of three: of floats, of groups, or of floats with groups; what happens to the sums is the epilogue's. Outputs are
 * lanes: a row's result does not depend on which other rows share its tile, so any split of the rows gives the same bits.
 */
import { internal } from "../../errors.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { dequantizedProduct } from "./dequantized-product.ts";
import { forExperts } from "./expert-groups.ts";
import { floatProduct } from "./float-product.ts";
import { groupedProduct } from "./grouped-product.ts";
import { chunkBytes, f32x16 } from "./lanes.ts";
import { encodingName, isGrouped, panelCount, panelRows } from "./panels.ts";
import type { Product, ProductSpec } from "./product.ts";
import { rowCount } from "./rows.ts";

/** One row of a tile, once its sums are known. */
export interface TileRow {
  /** The 16 sums of a stream. */
  readonly sum: (stream: number) => Value;
  /** Row of the operands (of the call, or a place among rows sorted by expert), and panel of the output. */
  readonly row: Value;
  readonly panel: Value;
}

/** Declares the epilogue's parameters, and returns what it does with a row of sums. */
export type Epilogue = (b: KernelBuilder) => (tile: TileRow) => void;

export interface GemmSpec extends ProductSpec {
  /** Rows of a full tile; the remaining rows go one by one, or by smaller tiles where they are sorted by expert. */
  readonly rowsPerTile: number;
  /** Whether rows are sorted by expert (expert-groups), each of which has its own matrix in the layout. */
  readonly byExpert: boolean;
  readonly epilogue: { readonly name: string; readonly emit: Epilogue };
}

/** The kernel of one product. Throws InternalError where activations, weights and atom do not go together. */
export function gemm(spec: GemmSpec): Kernel {
  const { layout, rowsPerTile, byExpert, epilogue } = spec;
  const matrices = byExpert ? `${layout.matrices} x ${layout.streams}` : layout.streams;
  const summary = `y[rows, ${layout.rows}] from x[rows, ${layout.columns}] and ${matrices} ${encodingName(layout.encoding)} matrices, ${epilogue.name}`;
  return recordKernel(gemmName(spec), summary, (b) => {
    const product = productOf(b, spec);
    const finish = epilogue.emit(b);
    const tile = b.pointer("tile", "read-write", `sums of a tile: [${layout.streams}, ${rowsPerTile}, 16] f32`);
    const streamBytes = rowsPerTile * chunkBytes;
    const multiply = (matrix: Value, first: Value, end: Value): void => {
      const firstPanel = b.mul(matrix, panelCount(layout));
      const tiles = tileRanges(b, byExpert ? quarters(rowsPerTile) : [rowsPerTile, 1], first, end);
      b.for("panel", 0, panelCount(layout), 1, (panel) => {
        const firstStream = b.mul(b.add(firstPanel, panel), layout.streams);
        // The sums pass through memory, so that product and epilogue are written once each, not once a stream and row.
        const tileOf = (count: number) => (row: Value) => {
          b.for("stream", 0, layout.streams, 1, (stream) => {
            product(row, b.add(firstStream, stream), count).forEach((sum, i) => {
              b.store(sum, tile, b.mul(stream, streamBytes), i * chunkBytes);
            });
          });
          b.for("tile_row", 0, count, 1, (i) => {
            const sum = (stream: number): Value => b.load(f32x16, tile, b.mul(i, chunkBytes), stream * streamBytes);
            finish({ sum, row: b.add(row, i), panel });
          });
        };
        for (const { size, from, to } of tiles) b.for("row", from, to, size, tileOf(size));
      });
    };
    if (byExpert) forExperts(b, multiply);
    else multiply(b.int(0), b.int(0), rowCount(b));
  });
}

/** Rows that go in tiles of one size. */
interface TileRange {
  readonly size: number;
  readonly from: Value;
  readonly to: Value;
}

/** Each size takes what fills its tiles of the rows that the sizes before it left; the last is 1. */
function tileRanges(b: KernelBuilder, sizes: readonly number[], first: Value, end: Value): readonly TileRange[] {
  let from = first;
  return [...new Set(sizes)].map((size) => {
    const to = size > 1 ? b.sub(end, b.remU(b.sub(end, from), size)) : end;
    const range = { size, from, to };
    from = to;
    return range;
  });
}

/** Each a quarter of the one before, as 8, 2, 1: an expert has few rows, so that those that fill no tile are many of them. */
function quarters(size: number): readonly number[] {
  return size <= 1 ? [1] : [size, ...quarters(Math.floor(size / 4))];
}

/** Declares the operands' parameters and returns the product. */
function productOf(b: KernelBuilder, spec: ProductSpec): Product {
  const { layout, inputStride } = spec;
  if (!isGrouped(layout.encoding))
    return floatProduct(b, layout, layout.encoding, inputStride ?? internal("float weights want float activations"));
  if (inputStride === null) return groupedProduct(b, layout, layout.encoding, spec.atom ?? internal("grouped product without a dot atom"));
  return dequantizedProduct(b, layout, layout.encoding, inputStride);
}

/** Bytes of the scratch memory of a tile. */
export function tileBytes({ layout, rowsPerTile }: Pick<GemmSpec, "layout" | "rowsPerTile">): number {
  return layout.streams * rowsPerTile * chunkBytes;
}

/** `gemm_q4_0_simd128_2x16_n1024_k1024_store`: encoding, atom or stride of the f32 activations, tile, shape, epilogue. */
function gemmName({ layout, inputStride, rowsPerTile, atom, byExpert, epilogue }: GemmSpec): string {
  const streams = layout.streams > 1 ? `${layout.streams}x` : "";
  return [
    byExpert ? `gemm_${layout.matrices}e` : "gemm",
    encodingName(layout.encoding),
    ...(inputStride === null && atom ? [atom.name] : []),
    `${rowsPerTile}x${panelRows}`,
    `n${streams}${layout.rows}`,
    `k${layout.columns}${inputStride === null ? "" : `_s${inputStride}`}`,
    epilogue.name,
  ].join("_");
}
