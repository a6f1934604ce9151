/**
 * The inner products of the matrix product: what a tile's sums are made of. Which one applies follows from the weights' encoding and
 * from the activations: floats with floats, 8-bit groups with grouped weights, or floats with grouped weights.
 */
import { internal } from "../../errors.ts";
import { blockSize, groupSize } from "../../numeric/quantize.ts";
import { groupFormats, type ScaleFormat } from "../../numeric/weight-groups.ts";
import type { DotAtom, Registers } from "../atom.ts";
import type { Index, KernelBuilder } from "../builder.ts";
import { vector, type Value, type Variable } from "../ir.ts";
import { halfToFloat, normalHalfToFloat } from "./functions.ts";
import { chunkBytes, f32Bytes, f32x16, i32x16 } from "./lanes.ts";
import {
  blockBytes,
  columnBytes,
  groupBytes,
  groupOffsets,
  isGrouped,
  paddedColumns,
  panelBytes,
  panelCount,
  panelRows,
  panelsStart,
  runLength,
  type FloatEncoding,
  type GroupEncoding,
  type PanelLayout,
} from "./panels.ts";

/** Emits the sums of `count` rows from `row` on, for one panel: one f32x16 a row. */
export type Product = (row: Value, panel: Value, count: number) => readonly Value[];

export interface ProductSpec {
  readonly layout: PanelLayout;
  /** Elements from one row of f32 activations to the next; null for 8-bit activations, whose rows are as long as the padded columns. */
  readonly inputStride: number | null;
  /** Multiplies 8-bit activations with grouped weights. */
  readonly atom: DotAtom | null;
}

/** Declares the operands' parameters and returns the product. */
export function productOf(b: KernelBuilder, spec: ProductSpec): Product {
  const { layout, inputStride } = spec;
  if (!isGrouped(layout.encoding))
    return floatProduct(b, layout, layout.encoding, inputStride ?? internal("float weights want float activations"));
  if (inputStride === null) return groupProduct(b, layout, layout.encoding, spec.atom ?? internal("grouped product without a dot atom"));
  return dequantizedProduct(b, layout, layout.encoding, inputStride);
}

function floatActivations(b: KernelBuilder, { columns }: PanelLayout, stride: number): Value {
  return b.pointer("x", "read", `activations [rows, ${columns}] f32, rows ${stride} apart`);
}

function newSums(b: KernelBuilder, count: number): readonly Variable[] {
  return Array.from({ length: count }, (_, i) => b.variable(`sum${i}`, b.literal(f32x16, 0)));
}

/** sum + x[k] * w, for each row of the tile. */
function accumulate(b: KernelBuilder, sums: readonly Variable[], w: Value, x: (row: number) => Value): void {
  sums.forEach((sum, i) => {
    b.assign(sum, b.add(b.read(sum), b.mul(x(i), w)));
  });
}

/** f32 activations and float weights: one accumulator an output, k rising, sum + x * w. */
function floatProduct(b: KernelBuilder, layout: PanelLayout, encoding: FloatEncoding, stride: number): Product {
  const { columns, streams } = layout;
  const x = floatActivations(b, layout, stride);
  const weights = b.pointer("weights", "read", `panels [${panelCount(layout) * streams}, ${columns}, 16] ${encoding.weights}`);
  const unroll = columns % 4 === 0 ? 4 : 1;
  return (row, panel, count) => {
    const input = b.advance(x, row, stride * f32Bytes);
    const panels = b.advance(weights, panel, panelBytes(layout));
    const sums = newSums(b, count);
    b.for("k", 0, columns, unroll, (k) => {
      for (let u = 0; u < unroll; u++) {
        const w = loadColumn(b, encoding, panels, b.mul(k, columnBytes(encoding)), u * columnBytes(encoding));
        accumulate(b, sums, w, (i) => b.loadSplat(f32x16, input, b.mul(k, f32Bytes), (i * stride + u) * f32Bytes));
      }
    });
    return sums.map((sum) => b.read(sum));
  };
}

/** One column of 16 rows as f32. */
function loadColumn(b: KernelBuilder, { weights }: FloatEncoding, pointer: Value, index: Index, offset: number): Value {
  if (weights === "f32") return b.load(f32x16, pointer, index, offset);
  const halves = b.op("widenU", [b.load(vector("i16", panelRows), pointer, index, offset)]);
  return weights === "f16" ? halfToFloat(b, halves) : b.bitcast(b.shl(halves, 16), f32x16);
}

function groupedWeights(b: KernelBuilder, layout: PanelLayout): Value {
  const blocks = paddedColumns(layout) / blockSize;
  return b.pointer("weights", "read", `${layout.encoding.weights} panels [${panelCount(layout) * layout.streams}, ${blocks} blocks]`);
}

/** A group of one panel: where its scales and its values are. */
interface Group {
  readonly pointer: Value;
  /** Byte index of its block. */
  readonly block: Value;
  /** Which of the block's groups it is. */
  readonly half: Value;
  /** Its index in the row. */
  readonly group: Value;
}

/** Emits `body` for each of the first `count` groups of a panel. */
function forGroups(
  b: KernelBuilder,
  layout: PanelLayout,
  encoding: GroupEncoding,
  panels: Value,
  count: number,
  body: (group: Group) => void,
): void {
  const perBlock = blockSize / groupSize;
  const visit = (block: Value, half: Value): void => {
    body({ pointer: panels, block: b.mul(block, blockBytes(encoding)), half, group: b.add(b.mul(block, perBlock), half) });
  };
  const whole = Math.floor(count / perBlock);
  b.for("block", 0, whole, 1, (block) => {
    b.for("group", 0, perBlock, 1, (half) => {
      visit(block, half);
    });
  });
  for (let rest = whole * perBlock; rest < count; rest++) visit(b.int(whole), b.int(rest - whole * perBlock));
}

/** The scales of 16 rows in one group. */
function loadScales(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, { pointer, block, half }: Group): Value {
  const index = b.add(block, b.mul(half, groupOffsets(encoding, 1).scales));
  return scaleVector(b, encoding.scales, pointer, index, panelsStart(layout));
}

function scaleVector(b: KernelBuilder, format: ScaleFormat, pointer: Value, index: Value, offset: number): Value {
  if (format === "f32") return b.load(f32x16, pointer, index, offset);
  return normalHalfToFloat(b, b.op("widenU", [b.load(vector("i16", panelRows), pointer, index, offset)]));
}

/** Byte index and offset of a group's values. */
function valuesPlace(
  b: KernelBuilder,
  layout: PanelLayout,
  encoding: GroupEncoding,
  { block, half }: Group,
): { index: Value; offset: number } {
  return { index: b.add(block, b.mul(half, groupBytes(encoding))), offset: panelsStart(layout) + groupOffsets(encoding, 0).values };
}

/** 8-bit activations and grouped weights: exact integer sums a group, then sum + float(isum) * (dw * dx), groups in rising k. */
function groupProduct(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, atom: DotAtom): Product {
  const columns = paddedColumns(layout);
  const groups = columns / groupSize;
  const activations = activationParameters(b, layout.columns);
  const weights = groupedWeights(b, layout);
  return (row, panel, count) => {
    const q = b.advance(activations.q, row, columns);
    const dx = b.advance(activations.scales, row, groups * f32Bytes);
    const totals = b.advance(activations.sums, row, groups * f32Bytes);
    const panels = b.advance(weights, panel, panelBytes(layout));
    const sums = newSums(b, count);
    forGroups(b, layout, encoding, panels, groups, (group) => {
      const dw = loadScales(b, layout, encoding, group);
      const integers = groupSums(b, atom, encoding, count, {
        activations: (i) => ({ pointer: q, index: b.mul(group.group, groupSize), offset: i * columns }),
        weights: { pointer: panels, ...valuesPlace(b, layout, encoding, group) },
      });
      sums.forEach((sum, i) => {
        const at = b.mul(group.group, f32Bytes);
        // Weights are u - offset: the offset times the activations' sum is taken off as an exact integer.
        const total = b.loadSplat(i32x16, totals, at, i * groups * f32Bytes);
        const exact = b.sub(integers[i] ?? internal("no sum"), b.shl(total, Math.log2(groupFormats[encoding.weights].offset)));
        const scale = b.mul(dw, b.loadSplat(f32x16, dx, at, i * groups * f32Bytes));
        b.assign(sum, b.add(b.read(sum), b.mul(b.toFloat(exact), scale)));
      });
    });
    return unscaled(b, weights, sums);
  };
}

/** The sums times the power of two in the matrix's header. */
function unscaled(b: KernelBuilder, weights: Value, sums: readonly Variable[]): readonly Value[] {
  const unscale = b.loadSplat(f32x16, weights);
  return sums.map((sum) => b.mul(b.read(sum), unscale));
}

interface GroupPlaces {
  readonly activations: (row: number) => { readonly pointer: Value; readonly index: Value; readonly offset: number };
  readonly weights: { readonly pointer: Value; readonly index: Value; readonly offset: number };
}

/** Sums of u * q over one group for `count` rows: i32x16 each. A few panel rows at a time, with the activations held in registers. */
function groupSums(b: KernelBuilder, atom: DotAtom, encoding: GroupEncoding, count: number, places: GroupPlaces): readonly Value[] {
  const steps = groupSize / atom.tile.k;
  const rows = Array.from({ length: count }, (_, i) => {
    const place = places.activations(i);
    return Array.from({ length: steps }, (_step, step) => atom.loadActivations(b, { ...place, offset: place.offset + step * atom.tile.k }));
  });
  const parts = rows.map((): Value[] => []);
  const stepBytes = groupBytes(encoding) / steps;
  const load = atom.loadWeights[encoding.weights];
  for (let tile = 0; tile < panelRows / atom.tile.n; tile++) {
    const accumulators: Registers[] = rows.map(() => atom.init(b));
    for (let step = 0; step < steps; step++) {
      const weights = load(b, { ...places.weights, offset: places.weights.offset + step * stepBytes + tile * atom.tile.n * runLength });
      rows.forEach((activations, i) => {
        accumulators[i] = atom.step(b, accumulators[i] ?? [], activations[step] ?? [], weights);
      });
    }
    accumulators.forEach((accumulator, i) => parts[i]?.push(atom.finish(b, accumulator)));
  }
  return parts.map((tiles) => b.concat(...tiles));
}

/** f32 activations and grouped weights: w = dw * (u - offset), then as with floats. */
function dequantizedProduct(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, stride: number): Product {
  const x = floatActivations(b, layout, stride);
  const weights = groupedWeights(b, layout);
  const wholeGroups = Math.floor(layout.columns / groupSize);
  const rest = layout.columns % groupSize;
  return (row, panel, count) => {
    const input = b.advance(x, row, stride * f32Bytes);
    const panels = b.advance(weights, panel, panelBytes(layout));
    const sums = newSums(b, count);
    const tile = { layout, encoding, input, stride, sums };
    forGroups(b, layout, encoding, panels, wholeGroups, (group) => {
      dequantizedGroup(b, tile, group, groupSize);
    });
    if (rest > 0) {
      const perBlock = blockSize / groupSize;
      const block = b.int(Math.floor(wholeGroups / perBlock) * blockBytes(encoding));
      dequantizedGroup(b, tile, { pointer: panels, block, half: b.int(wholeGroups % perBlock), group: b.int(wholeGroups) }, rest);
    }
    return unscaled(b, weights, sums);
  };
}

interface FloatTile {
  readonly layout: PanelLayout;
  readonly encoding: GroupEncoding;
  readonly input: Value;
  readonly stride: number;
  readonly sums: readonly Variable[];
}

/** Adds the first `columns` columns of a group. */
function dequantizedGroup(b: KernelBuilder, { layout, encoding, input, stride, sums }: FloatTile, group: Group, columns: number): void {
  const { bits, offset } = groupFormats[encoding.weights];
  const dw = loadScales(b, layout, encoding, group);
  const values = valuesPlace(b, layout, encoding, group);
  // Columns whose bits share a 4-byte run of each row.
  const columnsPerRun = (runLength * 8) / bits;
  const wholeRuns = Math.floor(columns / columnsPerRun);
  const addRun = (run: Index, count: number): void => {
    const at = b.add(values.index, typeof run === "number" ? b.int(run * panelRows * runLength) : b.mul(run, panelRows * runLength));
    const words = b.load(i32x16, group.pointer, at, values.offset);
    const first = b.add(b.mul(group.group, groupSize), typeof run === "number" ? b.int(run * columnsPerRun) : b.mul(run, columnsPerRun));
    for (let column = 0; column < count; column++) {
      // Low nibbles of the run's four bytes come first, then the high ones.
      const shift = 8 * (column % runLength) + bits * Math.floor(column / runLength);
      const u = b.and(b.shrU(words, shift), 2 ** bits - 1);
      const w = b.mul(dw, b.toFloat(b.sub(u, offset)));
      accumulate(b, sums, w, (i) => b.loadSplat(f32x16, input, b.mul(first, f32Bytes), (i * stride + column) * f32Bytes));
    }
  };
  b.for("run", 0, wholeRuns, 1, (run) => {
    addRun(run, columnsPerRun);
  });
  if (columns % columnsPerRun > 0) addRun(wholeRuns, columns % columnsPerRun);
}

/** Pointers to quantised rows: q, their scales and their sums. */
export function activationParameters(
  b: KernelBuilder,
  width: number,
  access: "read" | "write" = "read",
): { readonly q: Value; readonly scales: Value; readonly sums: Value } {
  return {
    q: b.pointer("xq", access, `8-bit activations [rows, ${width}] padded to whole blocks`),
    scales: b.pointer("xd", access, "their scales, one f32 for 32"),
    sums: b.pointer("xs", access, "their sums, one i32 for 32"),
  };
}
