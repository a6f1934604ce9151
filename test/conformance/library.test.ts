/** Completeness: nothing in the kernel library is without a conformance row, and no row is without its function. */

import { expect, test } from "vitest";
import { tileName } from "../../compiler/kernel/library/gemm.ts";
import { others, products } from "./kernels.ts";
import { kernelMakers, makersIn } from "./library.ts";
import { kernelsOf } from "./runner.ts";
import { targets } from "./targets.ts";

test("makers of kernels are found, whatever their form", () => {
  const text = `
    export function a({ x }: { readonly x: number }): Kernel { return k; }
    export const b = (x: number): Kernel => k;
    export function c(): GemmEpilogue { return e; }
    function hidden(): Kernel { return k; }
    export function bytes(): number { return 4; }`;
  expect(makersIn(text)).toEqual(["a", "b", "c"]);
});

test("every kernel and epilogue of the library has a row, and every row its function", () => {
  expect(Object.keys({ ...products, ...others }).toSorted()).toEqual(kernelMakers());
});

test.for(targets.filter(({ skip }) => skip !== null))("$name is tested", ({ skip }, context) => {
  context.skip(skip ?? "");
});

test("every atom of a target multiplies in a case, with each tile that it offers", () => {
  for (const { atoms } of targets) {
    const names = kernelsOf(products.gemm?.(atoms) ?? []).map(({ name }) => name);
    for (const { name: atom, tiles } of atoms) {
      for (const tile of [...tiles.nibbles, ...tiles.bytes]) {
        expect(names.some((name) => name.includes(`_${atom}_${tileName(tile)}_`))).toBe(true);
      }
    }
  }
});
