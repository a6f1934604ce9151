/**
 * Tiles change nothing: every tile that `lfmc tune` may choose leaves the bits of the plainest one, whatever the shape. All atoms in the interpreter,
 * those of WebAssembly in emitted code too.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { required } from "../../compiler/errors.ts";
import { tilesOf, type DotAtom, type TileShape } from "../../compiler/kernel/atom.ts";
import { storeEpilogue } from "../../compiler/kernel/library/epilogues.ts";
import { gemm, tileBytes } from "../../compiler/kernel/library/gemm.ts";
import type { PanelLayout } from "../../compiler/kernel/library/panels.ts";
import { manyRowTiles, singleRowTiles, tileFault } from "../../compiler/kernel/library/tiles.ts";
import { roundUp } from "../../compiler/numeric/quantize.ts";
import { groupFormats, type GroupFormatName } from "../../compiler/numeric/weight-groups.ts";
import type { Case } from "./case.ts";
import { matrix, quantized, unwritten } from "./fills.ts";
import { fillImage, placeRegions, type Image } from "./image.ts";
import { seededBy } from "./random.ts";
import { emitted, interpreted, memoryBytesOf } from "./runner.ts";
import { runnable, targets } from "./targets.ts";

/** Each of the candidates, single rows in the last way that there is: all of both lists, and together. */
function candidates(atom: DotAtom): readonly TileShape[] {
  const single = singleRowTiles(atom);
  const streamed = required(single.at(-1), "tile").streamedPanels;
  return [...single, ...manyRowTiles(atom).flatMap((tile) => [tile, { ...tile, streamedPanels: streamed }])];
}

interface Product {
  readonly n: number;
  readonly k: number;
  readonly rows: number;
  readonly format: GroupFormatName;
}

const products = fc.record({
  n: fc.integer({ min: 1, max: 50 }),
  k: fc.integer({ min: 1, max: 130 }),
  rows: fc.integer({ min: 1, max: 35 }),
  format: fc.constantFrom(...Object.values(groupFormats).map(({ name }) => name)),
});

function caseOf(atom: DotAtom, tile: TileShape, { n, k, rows, format }: Product): Case {
  const layout: PanelLayout = { encoding: { weights: format, scales: "f16" }, matrices: 1, streams: 1, rows: n, columns: k };
  const stride = roundUp(n, 16);
  const epilogue = storeEpilogue({ stride, bias: false, residualStride: null });
  const kernel = gemm({ layout, inputStride: null, atom, tile, byExpert: false, epilogue });
  const scratch = unwritten(tileBytes({ layout, tile }) / 4);
  const out = unwritten(rows * stride);
  return { kernel, label: "", args: { ...quantized(rows, k, "tiles"), weights: matrix(layout), out, tile: scratch, rows } };
}

/** The same operands for every tile: their places come before that of the scratch memory, which alone differs. */
function imageOf({ kernel, args }: Case): Image {
  return fillImage(placeRegions(kernel, args), args, seededBy("tiles"));
}

function outputOf({ regions }: Image, after: Uint8Array): string {
  const { offset, bytes } = required(
    regions.find(({ name }) => name === "out"),
    "output",
  );
  return Buffer.from(after.subarray(offset, offset + bytes)).toString("hex");
}

const atoms = new Map(targets.flatMap((target) => target.atoms.map((atom) => [atom.name, atom] as const)));
const [plain] = tilesOf([1]);

/** What the plainest tile of an atom leaves; of an atom of several rows, each goes by the atom beside it. */
function expectedOf(atom: DotAtom, product: Product): string {
  const each = caseOf(atom.rest ?? atom, required(plain, "tile"), product);
  const before = imageOf(each);
  return outputOf(before, interpreted(each, before));
}

test.each([...atoms.values()])("$name, interpreted", (atom) => {
  fc.assert(
    fc.property(products, fc.constantFrom(...candidates(atom)), (product, tile) => {
      const each = caseOf(atom, tile, product);
      const before = imageOf(each);
      expect(outputOf(before, interpreted(each, before))).toBe(expectedOf(atom, product));
    }),
    { numRuns: 8 },
  );
});

describe.each(runnable.filter(({ name }) => name === "wasm simd128" || name === "wasm relaxed"))("$name, emitted", (target) => {
  const atom = required(target.atoms[0], "atom");

  test.each<Product>([
    { n: 1, k: 33, rows: 1, format: "q4_0" },
    { n: 41, k: 130, rows: 35, format: "q4_0" },
    { n: 50, k: 64, rows: 21, format: "q8_0" },
    { n: 17, k: 70, rows: 9, format: "q4_1" },
  ])("%j", async (product) => {
    const cases = candidates(atom).map((tile) => caseOf(atom, tile, product));
    const kernels = [...new Map(cases.map(({ kernel }) => [kernel.name, kernel])).values()];
    const built = await target.build(kernels, { memoryBytes: memoryBytesOf(cases), optimize: true });
    const expected = expectedOf(atom, product);
    for (const each of cases) {
      const before = imageOf(each);
      expect(outputOf(before, emitted(each, before, built)), each.kernel.name).toBe(expected);
    }
  });
});

test.each([...atoms.values()])("the tiles that $name offers are among the candidates, which all are possible", (atom) => {
  const many = manyRowTiles(atom);
  const single = singleRowTiles(atom);
  for (const tile of [...many, ...single]) expect(tileFault(atom, tile)).toBeNull();
  for (const tile of [...atom.tiles.nibbles, ...atom.tiles.bytes]) {
    expect(many).toContainEqual({ ...tile, streamedPanels: null });
    expect(single.map(({ streamedPanels }) => streamedPanels)).toContain(tile.streamedPanels);
  }
});
