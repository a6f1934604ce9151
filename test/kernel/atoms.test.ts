/**
 * Every dot atom of every target multiplies what the panels' layout says: its exact sums against a plain reading of the bytes. Conformance cannot
 * tell: an atom that takes its operands in a wrong order does so in the interpreter too.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { required } from "../../compiler/errors.ts";
import { widthOf, type DotAtom } from "../../compiler/kernel/atom.ts";
import { interpretKernel } from "../../compiler/kernel/interpret.ts";
import { storeEpilogue } from "../../compiler/kernel/library/epilogues.ts";
import { gemm, tileBytes } from "../../compiler/kernel/library/gemm.ts";
import { groupOffsets, layoutBytes, panelsStart, type PanelLayout } from "../../compiler/kernel/library/panels.ts";
import { blockSize, groupSize } from "../../compiler/numeric/quantize.ts";
import { groupFormats, type GroupFormatName } from "../../compiler/numeric/weight-groups.ts";
import { instructionSets } from "../../targets/c/target.ts";
import { relaxed, simd128 } from "../../targets/wasm/atoms.ts";

const rowsOfPanel = 16;
const atoms: readonly DotAtom[] = [
  ...new Map(
    [simd128, relaxed, ...Object.values(instructionSets).flatMap((sets) => sets.flatMap((isa) => [...isa.atoms]))].map((atom) => [
      atom.name,
      atom,
    ]),
  ).values(),
];
const cases = atoms.flatMap((atom) =>
  Object.values(groupFormats).flatMap(({ name: format }) =>
    atom.tiles[widthOf(format)].map((tile) => ({ name: atom.name, rows: tile.rows, atom, tile, format })),
  ),
);

/** u of row `row`, column `column` of a block, as the layout has it: see library/panels. */
function weightAt(
  bytes: Uint8Array,
  layout: PanelLayout & { encoding: { weights: GroupFormatName; scales: "f16" } },
  row: number,
  column: number,
): number {
  const { encoding } = layout;
  const k = column % groupSize;
  const start = panelsStart(layout) + groupOffsets(encoding, Math.floor(column / groupSize)).values;
  const byteOf = (word: number): number => bytes[start + 64 * word + 4 * row + (k & 3)] ?? NaN;
  if (encoding.weights === "q8_0") return byteOf(k >> 2);
  const nibbleOf = (word: number): number => ((k & 4) === 0 ? byteOf(word) & 15 : byteOf(word) >> 4);
  if (encoding.weights !== "q3_0") return nibbleOf(k >> 3);
  if (k < 24) return nibbleOf(k >> 3) & 7;
  return (nibbleOf(0) >> 3) + 2 * (nibbleOf(1) >> 3) + 4 * (nibbleOf(2) >> 3);
}

/** Small minimums as halves, among them 0. */
const halves = [
  [0, 0],
  [0x3c00, 1],
  [0xc200, -3],
  [0x4400, 4],
] as const;

/** The minimum of a row in one half of a block, where the format has minimums. */
function minimumOf(row: number, half: number): (typeof halves)[number] {
  return required(halves[(row + half) % halves.length], "minimum");
}

test.each(cases)("$name, $rows rows of $format", ({ atom, rows, tile, format }) => {
  const layout = { encoding: { weights: format, scales: "f16" }, matrices: 1, streams: 1, rows: rowsOfPanel, columns: blockSize } as const;
  const kernel = gemm({
    layout,
    inputStride: null,
    tile,
    atom,
    byExpert: false,
    epilogue: storeEpilogue({ stride: rowsOfPanel, bias: false, residualStride: null }),
  });
  const extreme = fc.constantFrom(0, 255, 15, 240, 128, 127);
  const byte = fc.oneof(extreme, fc.integer({ min: 0, max: 255 }));
  const activation = fc.oneof(fc.constantFrom(127, -127, 0), fc.integer({ min: -127, max: 127 }));
  const wholeOf = <T>(value: fc.Arbitrary<T>, count: number) =>
    fc.oneof(
      fc.array(value, { minLength: count, maxLength: count }),
      value.map((one) => new Array<T>(count).fill(one)),
    );
  fc.assert(
    fc.property(wholeOf(byte, layoutBytes(layout)), wholeOf(activation, rows * blockSize), (values, q) => {
      const weights = Uint8Array.from(values);
      const view = new DataView(weights.buffer);
      view.setFloat32(0, 1, true);
      // Scales of 1: the sums are small integers, which f32 adds exactly.
      for (let half = 0; half < 2; half++) {
        const { scales, minimums } = groupOffsets(layout.encoding, half);
        for (let row = 0; row < rowsOfPanel; row++) {
          view.setUint16(panelsStart(layout) + scales + 2 * row, 0x3c00, true);
          if (minimums !== null) view.setUint16(panelsStart(layout) + minimums + 2 * row, minimumOf(row, half)[0], true);
        }
      }
      const groups = (rows * blockSize) / groupSize;
      const sums = Int32Array.from({ length: groups }, (_, group) =>
        q.slice(group * groupSize, (group + 1) * groupSize).reduce((a, b) => a + b, 0),
      );
      const out = new Float32Array(rows * rowsOfPanel);
      const regions: Readonly<Record<string, Uint8Array>> = {
        xq: new Uint8Array(Int8Array.from(q).buffer),
        xd: new Uint8Array(new Float32Array(groups).fill(1).buffer),
        xs: new Uint8Array(sums.buffer),
        weights,
        out: new Uint8Array(out.buffer),
        tile: new Uint8Array(tileBytes({ layout, tile })),
      };
      interpretKernel(
        kernel,
        kernel.parameters.map(({ name }) => (name === "rows" ? rows : { bytes: regions[name] ?? new Uint8Array(0) })),
      );
      const { offset, hasMinimums } = groupFormats[format];
      const expected = Array.from({ length: rows * rowsOfPanel }, (_, at) => {
        const [row, n] = [Math.floor(at / rowsOfPanel), at % rowsOfPanel];
        let sum = 0;
        for (let k = 0; k < blockSize; k++) {
          const minimum = hasMinimums ? minimumOf(n, k >> 5)[1] : 0;
          sum += (q[row * blockSize + k] ?? NaN) * (weightAt(weights, layout, n, k) - offset + minimum);
        }
        return sum;
      });
      expect([...out]).toEqual(expected);
    }),
    { numRuns: 12 },
  );
});
