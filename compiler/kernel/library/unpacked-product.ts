/**
 * The product of many rows with one panel: the weights are unpacked once, into the registers that the atom's steps take, and the scales into
 * floats; then tile after tile of rows reads both from the nearest caches. A slice of the panel at a time: so many of its rows that their sums
 * with those of the tile stay in registers, beside the weights and activations of one step.
 */
import { groupSize } from "../../numeric/quantize.ts";
import { required } from "../../errors.ts";
import { groupFormats } from "../../numeric/weight-groups.ts";
import type { DotAtom, Place, Registers } from "../atom.ts";
import type { KernelBuilder } from "../builder.ts";
import { bytesOfType, vector, type Value } from "../ir.ts";
import { groupNumbers, type GroupNumbers } from "./group-numbers.ts";
import { forGroups, loadScales, scalesPart, unscaled, valuesPlace } from "./grouped-panels.ts";
import { activationTile, addGroup, addTo, atomFormat, newPartSums, type GroupedOperands } from "./grouped-product.ts";
import { chunkBytes, f32Bytes } from "./lanes.ts";
import { isGrouped, paddedColumns, panelBytes, panelRows, runLength, scalesPerGroup, type PanelLayout } from "./panels.ts";

/** Bytes of an unpacked panel: slice by slice, for each group its scales as f32, its minimums, then its values, of at most two bytes each. */
export function unpackedBytes(layout: PanelLayout): number {
  const kinds = isGrouped(layout.encoding) ? scalesPerGroup(layout.encoding) : 0;
  return (paddedColumns(layout) / groupSize) * (kinds * chunkBytes + 2 * panelRows * groupSize);
}

/** Takes the sums of one row of a tile and of the panel's rows from `first` on. */
export type StoreSums = (row: number, first: Value, sums: Value) => void;

/** Both halves of the product. */
export interface UnpackedProduct {
  /** Unpacks `panel`, among all panels of all streams, to `to`. */
  readonly unpack: (panel: Value, to: Value) => void;
  /** Multiplies `count` rows from `row` on with the panel that was unpacked to `from`. */
  readonly multiply: (row: Value, count: number, from: Value, store: StoreSums) => void;
}

/** For atoms whose m is 1; `parts` times n rows make a slice. */
export function unpackedProduct(b: KernelBuilder, operands: GroupedOperands, atom: DotAtom, parts: number): UnpackedProduct {
  const { layout, encoding, weights } = operands;
  const { n, k } = atom.tile;
  const steps = groupSize / k;
  const slices = panelRows / n / parts;
  const numbersAt = (place: Place): GroupNumbers => groupNumbers(b, groupFormats[encoding.weights].bits, place);
  const load = (numbers: GroupNumbers, step: number): Registers => atomFormat(atom, encoding).load(b, numbers, step);
  // Recorded for their types alone.
  const types = load(numbersAt({ pointer: weights, index: b.int(0), offset: 0 }), 0).map(({ type }) => type);
  const partBytes = types.reduce((sum, type) => sum + bytesOfType(type), 0);
  const kindBytes = parts * n * f32Bytes;
  const scalesBytes = scalesPerGroup(encoding) * kindBytes;
  const unpackedGroup = scalesBytes + steps * parts * partBytes;
  const groups = paddedColumns(layout) / groupSize;
  const sliceBytes = groups * unpackedGroup;
  /** Where the registers of a part and step lie in a slice's group, and what they are. */
  const registersAt = (part: number, step: number) => {
    let next = scalesBytes + (step * parts + part) * partBytes;
    return types.map((type) => {
      const offset = next;
      next += bytesOfType(type);
      return { type, offset };
    });
  };
  return {
    unpack: (panel, to) => {
      const packed = b.advance(weights, panel, panelBytes(layout));
      forGroups(b, layout, encoding, packed, groups, (group) => {
        const at = b.mul(group.group, unpackedGroup);
        const scales = loadScales(b, layout, encoding, group);
        const values = valuesPlace(b, layout, encoding, group);
        for (let slice = 0; slice < slices; slice++) {
          const own = scalesPart(b, scales, slice * parts * n, parts * n);
          b.store(own.scales, to, at, slice * sliceBytes);
          if (own.minimums) b.store(own.minimums, to, at, slice * sliceBytes + kindBytes);
        }
        // Loops, because every product holds this code, which takes little of its time.
        b.for("slice", 0, slices, 1, (slice) => {
          b.for("part", 0, parts, 1, (part) => {
            const index = b.add(values.index, b.mul(b.add(b.mul(slice, parts), part), n * runLength));
            const numbers = numbersAt({ ...values, index });
            const unpacked = b.add(at, b.add(b.mul(slice, sliceBytes), b.mul(part, partBytes)));
            for (let step = 0; step < steps; step++) {
              const registers = load(numbers, step);
              registersAt(0, step).forEach(({ offset }, i) => {
                b.store(required(registers[i], "register"), to, unpacked, offset);
              });
            }
          });
        });
      });
    },
    multiply: (row, count, from, store) => {
      const tile = activationTile(b, operands, atom, row, count);
      const indices = Array.from({ length: parts }, (_, part) => part);
      b.for("slice", 0, slices, 1, (slice) => {
        const sums = newPartSums(b, atom, count, parts);
        const unpacked = b.advance(from, slice, sliceBytes);
        b.for("group", 0, groups, 1, (group) => {
          const at = b.mul(group, unpackedGroup);
          addGroup(b, atom, encoding, tile.group(group, false), {
            rows: count,
            scales: indices.map((part) => {
              const ofKind = (kind: number): Value => b.load(vector("f32", n), unpacked, at, kind * kindBytes + part * n * f32Bytes);
              return { scales: ofKind(0), minimums: scalesPerGroup(encoding) > 1 ? ofKind(1) : null };
            }),
            weights: (step) => indices.map((part) => registersAt(part, step).map(({ type, offset }) => b.load(type, unpacked, at, offset))),
            add: (i, part, terms) => {
              addTo(b, required(sums[i]?.[part], "sum"), terms);
            },
          });
        });
        const first = b.mul(slice, parts * n);
        sums.forEach((ofRow, i) => {
          store(i, first, unscaled(b, weights, b.concat(...ofRow.map((sum) => b.read(sum)))));
        });
      });
    },
  };
}
