/**
 * The inner product of 8-bit activations with grouped weights: exact integer sums a group by the target's dot atom, then
 * sum + float(isum) * (dw * dx), groups in rising k.
 */
import { required } from "../../errors.ts";
import { groupSize } from "../../numeric/quantize.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import type { DotAtom, Registers } from "../atom.ts";
import type { KernelBuilder } from "../builder.ts";
import type { Value } from "../ir.ts";
import { activationParameters } from "./activations.ts";
import { forGroups, groupedWeights, loadScales, unscaled, valuesPlace } from "./grouped-panels.ts";
import { f32Bytes, f32x16, i32x16 } from "./lanes.ts";
import { groupBytes, paddedColumns, panelBytes, panelRows, runLength, type GroupEncoding, type PanelLayout } from "./panels.ts";
import { newSums, type Product } from "./product.ts";

/** Rows of activations are as long as the padded columns. */
export function groupedProduct(b: KernelBuilder, layout: PanelLayout, encoding: GroupEncoding, atom: DotAtom): Product {
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
        const integer = required(integers[i], "sum");
        // Weights are u - offset: the offset times the activations' sum is taken off as an exact integer.
        const correction = (): Value =>
          b.shl(b.loadSplat(i32x16, totals, at, i * groups * f32Bytes), Math.log2(groupFormats[encoding.weights].offset));
        const exact = tileAtom(atom, count).formats[encoding.weights].isCentred ? integer : b.sub(integer, correction());
        const scale = b.mul(dw, b.loadSplat(f32x16, dx, at, i * groups * f32Bytes));
        b.assign(sum, b.add(b.read(sum), b.mul(b.toFloat(exact), scale)));
      });
    });
    return unscaled(b, weights, sums);
  };
}

interface GroupPlaces {
  readonly activations: (row: number) => { readonly pointer: Value; readonly index: Value; readonly offset: number };
  readonly weights: { readonly pointer: Value; readonly index: Value; readonly offset: number };
}

/** The atom for a tile of `count` rows. */
function tileAtom(atom: DotAtom, count: number): DotAtom {
  return count % atom.tile.m === 0 ? atom : required(atom.rest, `atom beside ${atom.name} for single rows`);
}

/** Sums over one group for `count` rows: i32x16 each. A few panel rows at a time, with the activations held in registers. */
function groupSums(b: KernelBuilder, tiled: DotAtom, encoding: GroupEncoding, count: number, places: GroupPlaces): readonly Value[] {
  const atom = tileAtom(tiled, count);
  const { m, n, k } = atom.tile;
  const steps = groupSize / k;
  // m rows share an accumulator.
  const teams = Array.from({ length: count / m }, (_, team) => {
    const rows = Array.from({ length: m }, (_row, i) => places.activations(team * m + i));
    return Array.from({ length: steps }, (_step, step) =>
      atom.loadActivations(
        b,
        rows.map((place) => ({ ...place, offset: place.offset + step * k })),
      ),
    );
  });
  const parts = Array.from({ length: count }, (): Value[] => []);
  const stepBytes = groupBytes(encoding) / steps;
  const format = atom.formats[encoding.weights];
  for (let tile = 0; tile < panelRows / n; tile++) {
    const accumulators: Registers[] = teams.map(() => []);
    for (let step = 0; step < steps; step++) {
      const weights = format.load(b, { ...places.weights, offset: places.weights.offset + step * stepBytes + tile * n * runLength });
      teams.forEach((activations, team) => {
        const accumulator = required(accumulators[team], "accumulator");
        accumulators[team] = format.step(b, accumulator, required(activations[step], "activations"), weights);
      });
    }
    accumulators.forEach((accumulator, team) => {
      format.finish(b, accumulator).forEach((sums, i) => required(parts[team * m + i], "part").push(sums));
    });
  }
  return parts.map((tiles) => b.concat(...tiles));
}
