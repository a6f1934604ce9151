/**
 * The matrix product: y[row, n] = sum over k of x[row, k] * w[n, k], for every row of a call. This skeleton owns the loops (panels,
 * then tiles of rows), tails and group scales; the inner product of a tile comes from a dot atom (8-bit activations, 4-bit weights)
 * or from plain f32 multiply and add; what happens to the sums is the epilogue's. Outputs are lanes: a row's result does not depend
 * on which other rows share its tile, so any split of the rows gives the same bits.
 */
import { internal } from "../../errors.ts";
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import type { DotAtom, Registers } from "../atom.ts";
import { recordKernel, type KernelBuilder } from "../builder.ts";
import { vector, type Kernel, type Value } from "../ir.ts";
import { normalHalfToFloat } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16 } from "./lanes.ts";
import {
  blockBytes,
  encodingName,
  groupBytes,
  paddedColumns,
  panelBytes,
  panelCount,
  panelRows,
  panelsStart,
  scaleRowBytes,
  type PanelLayout,
} from "./panels.ts";

/** One row of a tile, once its sums are known. */
export interface TileRow {
  /** The 16 sums of a stream. */
  readonly sum: (stream: number) => Value;
  /** Row of the call, and panel of the output. */
  readonly row: Value;
  readonly panel: Value;
}

/** Declares the epilogue's parameters, and returns what it does with a row of sums. */
export type Epilogue = (b: KernelBuilder) => (tile: TileRow) => void;

export interface GemmSpec {
  readonly layout: PanelLayout;
  /** Elements from one row of f32 activations to the next; 8-bit rows are as long as the padded columns. */
  readonly inputStride: number;
  /** Rows of a full tile; the remaining rows go one by one. */
  readonly rowsPerTile: number;
  /** Multiplies q4_0 weights; f32 weights need none. */
  readonly atom: DotAtom | null;
  readonly epilogue: { readonly name: string; readonly emit: Epilogue };
}

/** Emits the sums of `count` rows from `row` on, for one panel: one f32x16 a row. */
type Product = (row: Value, panel: Value, count: number) => readonly Value[];

export function gemm(spec: GemmSpec): Kernel {
  const { layout, rowsPerTile, epilogue } = spec;
  const name = gemmName(spec);
  const summary = `y[rows, ${layout.rows}] from x[rows, ${layout.columns}] and ${layout.streams} ${encodingName(layout.encoding)} matrices, ${epilogue.name}`;
  return recordKernel(name, summary, (b) => {
    const product = layout.encoding.weights === "f32" ? floatProduct(b, spec) : groupProduct(b, spec);
    const finish = epilogue.emit(b);
    const tile = b.pointer("tile", "read-write", `sums of a tile: [${layout.streams}, ${rowsPerTile}, 16] f32`);
    const rows = b.scalar("rows", "rows of the call");
    const streamBytes = rowsPerTile * chunkBytes;
    const fullRows = rowsPerTile > 1 ? b.sub(rows, b.remU(rows, rowsPerTile)) : rows;
    b.for("panel", 0, panelCount(layout), 1, (panel) => {
      // The sums pass through memory, so that product and epilogue are written once each, not once a stream and row.
      const tileOf = (count: number) => (row: Value) => {
        b.for("stream", 0, layout.streams, 1, (stream) => {
          product(row, b.add(b.mul(panel, layout.streams), stream), count).forEach((sum, i) => {
            b.store(sum, tile, b.mul(stream, streamBytes), i * chunkBytes);
          });
        });
        b.for("tile_row", 0, count, 1, (i) => {
          const sum = (stream: number): Value => b.load(f32x16, tile, b.mul(i, chunkBytes), stream * streamBytes);
          finish({ sum, row: b.add(row, i), panel });
        });
      };
      b.for("row", 0, fullRows, rowsPerTile, tileOf(rowsPerTile));
      if (rowsPerTile > 1) b.for("row", fullRows, rows, 1, tileOf(1));
    });
  });
}

/** Bytes of the scratch memory of a tile. */
export function tileBytes({ layout, rowsPerTile }: Pick<GemmSpec, "layout" | "rowsPerTile">): number {
  return layout.streams * rowsPerTile * chunkBytes;
}

/** `gemm_q4_0_simd128_2x16_n1024_k1024_store`: encoding, atom, tile, shape, epilogue. */
function gemmName({ layout, inputStride, rowsPerTile, atom, epilogue }: GemmSpec): string {
  const streams = layout.streams > 1 ? `${layout.streams}x` : "";
  const stride = layout.encoding.weights === "f32" ? `_s${inputStride}` : "";
  return [
    "gemm",
    encodingName(layout.encoding),
    ...(atom ? [atom.name] : []),
    `${rowsPerTile}x${panelRows}`,
    `n${streams}${layout.rows}`,
    `k${layout.columns}${stride}`,
    epilogue.name,
  ].join("_");
}

/** f32 activations and weights: one accumulator an output, k rising, sum + x * w. */
function floatProduct(b: KernelBuilder, { layout, inputStride }: GemmSpec): Product {
  const x = b.pointer("x", "read", `activations [rows, ${layout.columns}] f32, rows ${inputStride} apart`);
  const weights = b.pointer("weights", "read", `panels [${panelCount(layout) * layout.streams}, ${layout.columns}, 16] f32`);
  const unroll = layout.columns % 4 === 0 ? 4 : 1;
  return (row, panel, count) => {
    const input = b.advance(x, row, inputStride * f32Bytes);
    const columns = b.advance(weights, panel, panelBytes(layout));
    const sums = Array.from({ length: count }, (_, i) => b.variable(`sum${i}`, b.literal(f32x16, 0)));
    b.for("k", 0, layout.columns, unroll, (k) => {
      for (let u = 0; u < unroll; u++) {
        const w = b.load(f32x16, columns, b.mul(k, chunkBytes), u * chunkBytes);
        sums.forEach((sum, i) => {
          const value = b.loadSplat(f32x16, input, b.mul(k, f32Bytes), (i * inputStride + u) * f32Bytes);
          b.assign(sum, b.add(b.read(sum), b.mul(value, w)));
        });
      }
    });
    return sums.map((sum) => b.read(sum));
  };
}

/** 8-bit activations and 4-bit weights: exact integer sums a group, then sum + float(isum) * (dw * dx), groups in rising k. */
function groupProduct(b: KernelBuilder, { layout, atom }: GemmSpec): Product {
  if (!atom || layout.encoding.weights !== "q4_0") return internal("grouped product without a dot atom");
  const { scales } = layout.encoding;
  const columns = paddedColumns(layout);
  const groups = columns / groupSize;
  const activations = activationParameters(b, layout.columns);
  const weights = b.pointer("weights", "read", `q4_0 panels [${panelCount(layout) * layout.streams}, ${columns / blockSize} blocks]`);
  return (row, panel, count) => {
    const q = b.advance(activations.q, row, columns);
    const dx = b.advance(activations.scales, row, groups * f32Bytes);
    const totals = b.advance(activations.sums, row, groups * f32Bytes);
    const blocks = b.advance(weights, panel, panelBytes(layout));
    const sums = Array.from({ length: count }, (_, i) => b.variable(`sum${i}`, b.literal(f32x16, 0)));
    b.for("block", 0, columns / blockSize, 1, (block) => {
      const blockStart = b.mul(block, blockBytes(scales));
      b.for("group", 0, blockSize / groupSize, 1, (half) => {
        const scaleIndex = b.add(blockStart, b.mul(half, scaleRowBytes(scales)));
        const dw = loadScales(b, scales, blocks, scaleIndex, panelsStart(layout));
        const nibbles = b.add(blockStart, b.mul(half, groupBytes));
        const nibblesOffset = panelsStart(layout) + (blockSize / groupSize) * scaleRowBytes(scales);
        const group = b.add(b.mul(block, blockSize / groupSize), half);
        const integers = groupSums(b, atom, count, {
          activations: (i) => ({ pointer: q, index: b.mul(group, groupSize), offset: i * columns }),
          weights: { pointer: blocks, index: nibbles, offset: nibblesOffset },
        });
        sums.forEach((sum, i) => {
          const at = b.mul(group, f32Bytes);
          // The weights are u - 8: the offset times the activations' sum is taken off as an exact integer.
          const total = b.loadSplat(vector("i32", panelRows), totals, at, i * groups * f32Bytes);
          const exact = b.sub(integers[i] ?? internal("no sum"), b.shl(total, 3));
          const scale = b.mul(dw, b.loadSplat(f32x16, dx, at, i * groups * f32Bytes));
          b.assign(sum, b.add(b.read(sum), b.mul(b.toFloat(exact), scale)));
        });
      });
    });
    const unscale = b.loadSplat(f32x16, weights);
    return sums.map((sum) => b.mul(b.read(sum), unscale));
  };
}

interface GroupPlaces {
  readonly activations: (row: number) => { readonly pointer: Value; readonly index: Value; readonly offset: number };
  readonly weights: { readonly pointer: Value; readonly index: Value; readonly offset: number };
}

/** Sums of u * q over one group for `count` rows: i32x16 each. A few panel rows at a time, with the activations held in registers. */
function groupSums(b: KernelBuilder, atom: DotAtom, count: number, places: GroupPlaces): readonly Value[] {
  const steps = groupSize / atom.tile.k;
  const rows = Array.from({ length: count }, (_, i) => {
    const place = places.activations(i);
    return Array.from({ length: steps }, (_step, step) => atom.loadActivations(b, { ...place, offset: place.offset + step * atom.tile.k }));
  });
  const parts = rows.map((): Value[] => []);
  const stepBytes = groupBytes / steps;
  const tileBytes = (stepBytes * atom.tile.n) / panelRows;
  for (let tile = 0; tile < panelRows / atom.tile.n; tile++) {
    const accumulators: Registers[] = rows.map(() => atom.init(b));
    for (let step = 0; step < steps; step++) {
      const weights = atom.loadWeights(b, { ...places.weights, offset: places.weights.offset + step * stepBytes + tile * tileBytes });
      rows.forEach((activations, i) => {
        accumulators[i] = atom.step(b, accumulators[i] ?? [], activations[step] ?? [], weights);
      });
    }
    accumulators.forEach((accumulator, i) => parts[i]?.push(atom.finish(b, accumulator)));
  }
  return parts.map((tiles) => b.concat(...tiles));
}

/** The scales of 16 rows in one group. */
function loadScales(b: KernelBuilder, format: "f16" | "f32", pointer: Value, index: Value, offset: number): Value {
  if (format === "f32") return b.load(f32x16, pointer, index, offset);
  return normalHalfToFloat(b, b.op("widenU", [b.load(vector("i16", panelRows), pointer, index, offset)]));
}

/** Pointers to quantised rows: q, their scales and their sums. */
export function activationParameters(
  b: KernelBuilder,
  width: number,
  access: "read" | "write" = "read",
): { q: Value; scales: Value; sums: Value } {
  return {
    q: b.pointer("xq", access, `8-bit activations [rows, ${width}] padded to whole blocks`),
    scales: b.pointer("xd", access, "their scales, one f32 for 32"),
    sums: b.pointer("xs", access, "their sums, one i32 for 32"),
  };
}
