/**
 * The inner product of 8-bit activations with grouped weights: exact integer sums a group by the target's dot atom, then
 * sum + float(isum) * (dw * dx), and where weights have minimums sum + float(qsum) * (mw * dx); groups in rising k.
 */
import { required } from "../../errors.ts";
import { groupSize } from "../../numeric/quantize.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import { widthOf, type AtomFormat, type DotAtom, type Place, type Registers } from "../atom.ts";
import type { KernelBuilder } from "../builder.ts";
import { vector, type Value, type Variable } from "../ir.ts";
import { activationParameters } from "./activations.ts";
import { groupNumbers } from "./group-numbers.ts";
import {
  forGroups,
  groupedWeights,
  loadScales,
  scalesPart,
  unscaled,
  valuesPlace,
  type Group,
  type GroupScales,
} from "./grouped-panels.ts";
import { f32Bytes } from "./lanes.ts";
import { paddedColumns, panelBytes, panelRows, runLength, type GroupEncoding, type PanelLayout } from "./panels.ts";
import type { Product } from "./product.ts";

/** The operands of a product of groups, which rows of activations as long as the padded columns meet. */
export interface GroupedOperands {
  readonly layout: PanelLayout;
  readonly encoding: GroupEncoding;
  readonly weights: Value;
  readonly activations: ReturnType<typeof activationParameters>;
}

/** Declares the operands' parameters. */
export function groupedOperands(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding): GroupedOperands {
  const activations = activationParameters(b, layout.columns);
  return { layout, encoding, activations, weights: groupedWeights(b, layout) };
}

/** Multiplies straight from the packed panels. */
export function groupedProduct(b: KernelBuilder, operands: GroupedOperands, atom: DotAtom): Product {
  const { layout, encoding } = operands;
  return (row, panel, count) => {
    const tiled = tileAtom(atom, count);
    const parts = panelRows / tiled.tile.n;
    const panels = b.advance(operands.weights, panel, panelBytes(layout));
    const tile = activationTile(b, operands, tiled, row, count);
    const sums = newPartSums(b, tiled, count, parts);
    forGroups(b, layout, encoding, panels, tile.groups, (group) => {
      addPackedGroup(b, operands, tiled, group, tile.group(group.group, true), count, (row, part, terms) => {
        addTo(b, required(sums[row]?.[part], "sum"), terms);
      });
    });
    return sums.map((ofRow) => unscaled(b, operands.weights, b.concat(...ofRow.map((sum) => b.read(sum)))));
  };
}

/** The products of one group of a packed panel, part by part; `add` takes those of a row and a part. */
export function addPackedGroup(
  b: KernelBuilder,
  { layout, encoding }: GroupedOperands,
  atom: DotAtom,
  group: Group,
  activations: ActivationGroup,
  rows: number,
  add: PanelGroup["add"],
): void {
  const { n } = atom.tile;
  const scales = loadScales(b, layout, encoding, group);
  const values = valuesPlace(b, layout, encoding, group);
  for (let part = 0; part < panelRows / n; part++) {
    const numbers = groupNumbers(b, groupFormats[encoding.weights].bits, { ...values, offset: values.offset + part * n * runLength });
    addGroup(b, atom, encoding, activations, {
      rows,
      scales: [scalesPart(b, scales, part * n, n)],
      weights: (step) => [atomFormat(atom, encoding).load(b, numbers, step)],
      add: (row, _, terms) => {
        add(row, part, terms);
      },
    });
  }
}

/** How an atom multiplies the weights of an encoding. */
export function atomFormat(atom: DotAtom, { weights }: GroupEncoding): AtomFormat {
  return atom.formats[widthOf(weights)];
}

/** For each row of a tile, one accumulator of `n` outputs for each part of a panel. */
export function newPartSums(b: KernelBuilder, { tile: { n } }: DotAtom, count: number, parts: number): readonly (readonly Variable[])[] {
  const zero = b.literal(vector("f32", n), 0);
  return Array.from({ length: count }, (_, i) => Array.from({ length: parts }, (_part, part) => b.variable(`sum${i}_${part}`, zero)));
}

/** One group of the activations of a tile. */
export interface ActivationGroup {
  /** Registers for one step of `m` rows. */
  readonly load: (team: number, step: number) => Registers;
  /** What the integer sums of a row start from. */
  readonly start: (row: number) => Value;
  readonly scale: (row: number) => Value;
  /** The sum of its numbers, as f32. */
  readonly total: (row: number) => Value;
}

/** Rows of activations of a tile. */
export interface ActivationTile {
  readonly groups: number;
  /** A group of them; `held` loads the registers of a single team at once, for all parts of a panel. */
  readonly group: (group: Value, held: boolean) => ActivationGroup;
}

/** 1.5 * 2^23: a float whose last bit counts ones, so that an integer added to its bits is added to its value. */
const shift = 12582912;
const shiftBits = 0x4b400000;

/** Where `count` rows of activations from `row` on lie, and what becomes of a group of them. */
export function activationTile(
  b: KernelBuilder,
  { layout, encoding, activations }: GroupedOperands,
  atom: DotAtom,
  row: Value,
  count: number,
): ActivationTile {
  const columns = paddedColumns(layout);
  const groups = columns / groupSize;
  const { m, n, k } = atom.tile;
  const { offset, hasMinimums } = groupFormats[encoding.weights];
  const q = b.advance(activations.q, row, columns);
  const dx = b.advance(activations.scales, row, groups * f32Bytes);
  const totals = b.advance(activations.sums, row, groups * f32Bytes);
  const group = (index: Value, held: boolean): ActivationGroup => {
    const at = b.mul(index, f32Bytes);
    const first = b.mul(index, groupSize);
    const ofRow = (i: number): number => i * groups * f32Bytes;
    const load = (team: number, step: number): Registers =>
      atom.loadActivations(
        b,
        Array.from({ length: m }, (_, i): Place => ({ pointer: q, index: first, offset: (team * m + i) * columns + step * k })),
      );
    const isHeld = held && count === m;
    const registers = isHeld ? Array.from({ length: groupSize / k }, (_, step) => load(0, step)) : null;
    const bits = b.literal(vector("i32", n), shiftBits);
    // Weights are u - offset, so the offset times the activations' sum is taken off as an exact integer; and the bits of `shift` are put on, with
    // which the sums, below 2^21, are floats without a conversion.
    const sum = (i: number): Value => b.loadSplat(vector("i32", n), totals, at, ofRow(i));
    const start = (i: number): Value =>
      offset === 0 || atomFormat(atom, encoding).isCentred ? bits : b.sub(bits, b.shl(sum(i), Math.log2(offset)));
    const scale = (i: number): Value => b.loadSplat(vector("f32", n), dx, at, ofRow(i));
    const total = (i: number): Value => b.toFloat(sum(i));
    const rows = isHeld
      ? Array.from({ length: m }, (_, i) => ({ start: start(i), scale: scale(i), total: hasMinimums ? total(i) : null }))
      : null;
    return {
      load: (team, step) => (registers ? required(registers[step], "activations") : load(team, step)),
      start: (i) => (rows ? required(rows[i], "row").start : start(i)),
      scale: (i) => (rows ? required(rows[i], "row").scale : scale(i)),
      total: (i) => rows?.[i]?.total ?? total(i),
    };
  };
  return { groups, group };
}

/** sum + each of the terms, in their order. */
export function addTo(b: KernelBuilder, sum: Variable, terms: readonly Value[]): void {
  b.assign(sum, plus(b, b.read(sum), terms));
}

/** sum + each of the terms, in their order. */
export function plus(b: KernelBuilder, sum: Value, terms: readonly Value[]): Value {
  return terms.reduce((total, term) => b.add(total, term), sum);
}

/** A group of a few parts of a panel, and who takes its products with some rows. */
export interface PanelGroup {
  readonly rows: number;
  /** For each part. */
  readonly scales: readonly GroupScales[];
  /** The registers of each part for one step. */
  readonly weights: (step: number) => readonly Registers[];
  /** Takes float(isum) * (dw * dx), and where there are minimums float(qsum) * (mw * dx). */
  readonly add: (row: number, part: number, terms: readonly Value[]) => void;
}

/** The products of one group, parts by rows. */
export function addGroup(
  b: KernelBuilder,
  atom: DotAtom,
  encoding: GroupEncoding,
  activations: ActivationGroup,
  { rows, scales, weights, add }: PanelGroup,
): void {
  const { m, n, k } = atom.tile;
  const format = atomFormat(atom, encoding);
  const teams = Array.from({ length: rows / m }, (_, team) => team);
  const starts = Array.from({ length: rows }, (_, row) => activations.start(row));
  const accumulators = teams.map((team) => scales.map((): Registers => format.start?.(b, required(starts[team * m], "start")) ?? []));
  for (let step = 0; step < groupSize / k; step++) {
    const registers = weights(step);
    accumulators.forEach((parts, team) => {
      const x = activations.load(team, step);
      parts.forEach((accumulator, part) => {
        parts[part] = format.step(b, accumulator, x, required(registers[part], "weights"));
      });
    });
  }
  const shifted = b.literal(vector("f32", n), shift);
  accumulators.forEach((parts, team) => {
    const finished = parts.map((accumulator) => format.finish(b, accumulator));
    for (let row = team * m; row < (team + 1) * m; row++) {
      const dx = activations.scale(row);
      finished.forEach((sums, part) => {
        const integers = required(sums[row - team * m], "sums");
        const bits = format.start ? integers : b.add(integers, required(starts[row], "start"));
        const { scales: dw, minimums: mw } = required(scales[part], "scales");
        const scale = b.mul(dw, dx);
        const products = b.mul(b.sub(b.bitcast(bits, shifted.type), shifted), scale);
        add(row, part, mw === null ? [products] : [products, b.mul(activations.total(row), b.mul(mw, dx))]);
      });
    }
  });
}

/** The atom for a tile of `count` rows. */
export function tileAtom(atom: DotAtom, count: number): DotAtom {
  return count % atom.tile.m === 0 ? atom : required(atom.rest, `atom beside ${atom.name} for single rows`);
}
