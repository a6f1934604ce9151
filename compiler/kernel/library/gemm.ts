/**
 * The matrix product: y[row, n] = sum over k of x[row, k] * w[n, k], for every row of a call, or for the rows of each expert with a
 * matrix of its own. This skeleton owns the loops: experts, panels, then tiles of rows, then the rows that are left. The inner product
 * of a tile is one of three: of floats, of groups, or of floats with groups; what happens to the sums is the epilogue's. Outputs are
 * lanes: a row's result does not depend on which other rows share its tile, so any split of the rows gives the same bits.
 */
import { internal } from "../../errors.ts";
import type { TileShape } from "../atom.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import type { Kernel, Value } from "../ir.ts";
import { dequantizedProduct } from "./dequantized-product.ts";
import { forExperts } from "./expert-groups.ts";
import { floatProduct } from "./float-product.ts";
import { smallerInteger } from "./functions.ts";
import { groupedOperands, groupedProduct, tileAtom } from "./grouped-product.ts";
import { chunkBytes, f32Bytes, f32x16 } from "./lanes.ts";
import { encodingName, isGrouped, panelCount, panelRows, type PanelLayout } from "./panels.ts";
import type { Product, ProductSpec } from "./product.ts";
import { rowCount } from "./rows.ts";
import { streamedProduct, type StreamedProduct } from "./streamed-product.ts";
import { unpackedBytes, unpackedProduct, type UnpackedProduct } from "./unpacked-product.ts";

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
  /** The rest of the rows go one by one; where rows are sorted by expert, by smaller tiles first. */
  readonly tile: TileShape;
  /** Whether rows are sorted by expert (expert-groups), each of which has its own matrix in the layout. */
  readonly byExpert: boolean;
  readonly epilogue: { readonly name: string; readonly emit: Epilogue };
}

/** The kernel of one product. Throws InternalError where activations, weights and atom do not go together. */
export function gemm(spec: GemmSpec): Kernel {
  const { layout, tile, byExpert, epilogue } = spec;
  const matrices = byExpert ? `${layout.matrices} x ${layout.streams}` : layout.streams;
  const summary = `y[rows, ${layout.rows}] from x[rows, ${layout.columns}] and ${matrices} ${encodingName(layout.encoding)} matrices, ${epilogue.name}`;
  return recordKernel(gemmName(spec), summary, (b) => {
    const products = productsOf(b, spec);
    const finish = epilogue.emit(b);
    const scratch = b.pointer("tile", "read-write", `sums [${sumRows(spec)}, 16] f32${unpackedNote(spec)}`);
    const multiply = (matrix: Value, first: Value, end: Value): void => {
      const place = { scratch, finish, matrix: b.mul(matrix, panelCount(layout)) };
      const { packed, unpacked, streamed } = products;
      const tiles = tileRanges(b, byExpert && !unpacked ? quarters(tile.rows) : [tile.rows, 1], first, end);
      const whole = unpacked ? tiles.slice(0, 1) : [];
      const single = streamed ? tiles.slice(-1) : [];
      const others = tiles.slice(whole.length, tiles.length - single.length);
      b.for("panels", 0, panelSetCount(spec), 1, (set) => {
        const panels = panelSet(b, layout, set, panelsOfSet(tile));
        if (single.length < tiles.length)
          b.for("panel", panels.first, panels.end, 1, (panel) => {
            if (unpacked) for (const range of whole) multiplyUnpacked(b, spec, unpacked, { ...place, panel }, range);
            multiplyTiles(b, spec, packed, { ...place, panel }, others);
          });
        if (streamed) for (const range of single) multiplySet(b, spec, streamed, { ...place, ...panels }, range);
      });
    };
    if (byExpert) forExperts(b, multiply);
    else multiply(b.int(0), b.int(0), rowCount(b));
  });
}

/** Panels from `first` until `end`. */
interface PanelSet {
  readonly first: Value;
  readonly end: Value;
}

/** The panels of set number `set`; the last set may have fewer. */
function panelSet(b: KernelBuilder, layout: PanelLayout, set: Value, size: number): PanelSet {
  const first = b.mul(set, size);
  const end = b.add(first, size);
  return { first, end: panelCount(layout) % size === 0 ? end : smallerInteger(b, end, b.int(panelCount(layout))) };
}

/** Where a kernel's sums go, and which matrix's panels they are of. */
interface Place {
  readonly scratch: Value;
  readonly finish: (tile: TileRow) => void;
  /** The first panel of the matrix, among those of all. */
  readonly matrix: Value;
}

/**
 * The rows of `tiles` times one panel of every stream. The sums pass through memory, so that product and epilogue are written once each, not
 * once a stream and row.
 */
function multiplyTiles(
  b: KernelBuilder,
  { layout: { streams }, tile }: GemmSpec,
  product: Product,
  { scratch, finish, matrix, panel }: Place & { readonly panel: Value },
  tiles: readonly TileRange[],
): void {
  const firstStream = b.mul(b.add(matrix, panel), streams);
  const streamBytes = tile.rows * chunkBytes;
  for (const { size, from, to } of tiles) {
    b.for("row", from, to, size, (row) => {
      b.for("stream", 0, streams, 1, (stream) => {
        product(row, b.add(firstStream, stream), size).forEach((sum, i) => {
          b.store(sum, scratch, b.mul(stream, streamBytes), i * chunkBytes);
        });
      });
      finishTile(b, { finish, scratch }, row, size, streamBytes, panel);
    });
  }
}

/** The epilogue of `count` rows whose sums are in the scratch memory. */
function finishTile(
  b: KernelBuilder,
  { finish, scratch }: Pick<Place, "finish" | "scratch">,
  row: Value,
  count: number,
  streamBytes: number,
  panel: Value,
): void {
  b.for("tile_row", 0, count, 1, (i) => {
    const sum = (stream: number): Value => b.load(f32x16, scratch, b.mul(i, chunkBytes), stream * streamBytes);
    finish({ sum, row: b.add(row, i), panel });
  });
}

/** The rows of a range times one panel of every stream, which are unpacked first. */
function multiplyUnpacked(
  b: KernelBuilder,
  spec: GemmSpec,
  { unpack, multiply }: UnpackedProduct,
  { scratch, finish, matrix, panel }: Place & { readonly panel: Value },
  { size, from, to }: TileRange,
): void {
  const { streams } = spec.layout;
  const streamBytes = size * chunkBytes;
  const unpackedStart = sumRows(spec) * chunkBytes;
  const unpackedAt = (stream: Value): Value => b.advance(b.advance(scratch, 1, unpackedStart), stream, unpackedBytes(spec.layout));
  b.if(b.lt(from, to), () => {
    b.for("stream", 0, streams, 1, (stream) => {
      unpack(b.add(b.mul(b.add(matrix, panel), streams), stream), unpackedAt(stream));
    });
  });
  b.for("row", from, to, size, (row) => {
    b.for("stream", 0, streams, 1, (stream) => {
      const sums = b.advance(scratch, stream, streamBytes);
      multiply(row, size, unpackedAt(stream), (i, first, values) => {
        b.store(values, sums, b.mul(first, f32Bytes), i * chunkBytes);
      });
    });
    finishTile(b, { finish, scratch }, row, size, streamBytes, panel);
  });
}

/** Rows one by one times a set of panels, those of all streams by turns. */
function multiplySet(
  b: KernelBuilder,
  { layout: { streams } }: GemmSpec,
  product: StreamedProduct,
  { scratch, finish, matrix, first, end }: Place & PanelSet,
  { from, to }: RowRange,
): void {
  b.for("row", from, to, 1, (row) => {
    product(row, b.mul(b.add(matrix, first), streams), b.mul(b.sub(end, first), streams), scratch);
    b.for("finished", first, end, 1, (panel) => {
      const at = b.mul(b.sub(panel, first), streams * chunkBytes);
      finish({ sum: (stream) => b.load(f32x16, scratch, at, stream * chunkBytes), row, panel });
    });
  });
}

interface RowRange {
  readonly from: Value;
  readonly to: Value;
}

/** Rows that go in tiles of one size. */
interface TileRange extends RowRange {
  readonly size: number;
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

/** How tiles are multiplied; from unpacked panels where there is a product for it, and single rows with several panels likewise. */
interface Products {
  readonly packed: Product;
  readonly unpacked: UnpackedProduct | null;
  readonly streamed: StreamedProduct | null;
}

/** Declares the operands' parameters and returns the products. */
function productsOf(b: KernelBuilder, { layout, inputStride, atom, tile }: GemmSpec): Products {
  const { encoding } = layout;
  if (!isGrouped(encoding)) {
    const packed = floatProduct(b, layout, encoding, inputStride ?? internal("float weights want float activations"));
    return { packed, unpacked: null, streamed: null };
  }
  if (inputStride !== null) return { packed: dequantizedProduct(b, layout, encoding, inputStride), unpacked: null, streamed: null };
  const operands = groupedOperands(b, layout, encoding);
  const multiplier = atom ?? internal("grouped product without a dot atom");
  return {
    packed: groupedProduct(b, operands, multiplier),
    unpacked: tile.unpackedParts === null ? null : unpackedProduct(b, operands, multiplier, tile.unpackedParts),
    streamed: tile.streamedPanels === null ? null : streamedProduct(b, operands, tileAtom(multiplier, 1)),
  };
}

function panelsOfSet({ streamedPanels }: TileShape): number {
  return streamedPanels ?? 1;
}

/** Sets of panels that a product goes through: the turns of its loop `panels`. */
export function panelSetCount({ layout, tile }: Pick<GemmSpec, "layout" | "tile">): number {
  return Math.ceil(panelCount(layout) / panelsOfSet(tile));
}

/** Rows of 16 sums: of a tile, or of a row and a set of panels. */
function sumRows({ layout, tile }: Pick<GemmSpec, "layout" | "tile">): number {
  return layout.streams * Math.max(tile.rows, panelsOfSet(tile));
}

/** Bytes of the scratch memory of a tile: its sums, and a panel of each stream where it is unpacked. */
export function tileBytes(spec: Pick<GemmSpec, "layout" | "tile">): number {
  return sumRows(spec) * chunkBytes + (spec.tile.unpackedParts === null ? 0 : spec.layout.streams * unpackedBytes(spec.layout));
}

function unpackedNote({ layout, tile }: GemmSpec): string {
  return tile.unpackedParts === null ? "" : `, then an unpacked panel of each stream, ${unpackedBytes(layout)} bytes each`;
}

/** `gemm_q4_0_simd128_4x2u_4p_n1024_k1024_store`: encoding, atom or stride of the f32 activations, tile, shape, epilogue. */
function gemmName({ layout, inputStride, tile, atom, byExpert, epilogue }: GemmSpec): string {
  const streams = layout.streams > 1 ? `${layout.streams}x` : "";
  return [
    byExpert ? `gemm_${layout.matrices}e` : "gemm",
    encodingName(layout.encoding),
    ...(inputStride === null && atom ? [atom.name] : []),
    tileName(tile),
    `n${streams}${layout.rows}`,
    `k${layout.columns}${inputStride === null ? "" : `_s${inputStride}`}`,
    epilogue.name,
  ].join("_");
}

/** `4x16`; `4x2u_4p` where panels are unpacked and two parts of them go together, and a single row meets four panels by turns. */
export function tileName({ rows, unpackedParts, streamedPanels }: TileShape): string {
  const many = unpackedParts === null ? `${rows}x${panelRows}` : `${rows}x${unpackedParts}u`;
  return streamedPanels === null ? many : `${many}_${streamedPanels}p`;
}
