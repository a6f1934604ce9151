/** A plan vouches for its kernels: whatever made them, they are verified before a target sees them. */

import { expect, test } from "vitest";
import { benchShapes } from "../../compiler/bench/shapes.ts";
import { required } from "../../compiler/errors.ts";
import type { DotAtom } from "../../compiler/kernel/atom.ts";
import { draftPrograms } from "../../compiler/pipeline.ts";
import { loadTarget, targetNames } from "../../compiler/targets.ts";
import { simd128 } from "../../targets/wasm/atoms.ts";
import { wasmSimd } from "../../targets/wasm/target.ts";

const { model } = required(
  benchShapes.find((shape) => shape.model.name === "demo-model"),
  "shape",
);

/** Plans the demo model for a target with that atom alone. */
function planWith(atom: DotAtom): number {
  const variants = wasmSimd.variants.slice(0, 1).map((variant) => ({ ...variant, atoms: [atom] }));
  return draftPrograms(model, { ...wasmSimd, variants }, { model: "", target: "wasm-simd", context: 64 }).programs.length;
}

test("a kernel that breaks the rules is refused", () => {
  const writesActivations: DotAtom = {
    ...simd128,
    loadActivations: (b, places) => {
      for (const { pointer, index, offset } of places) b.store(b.int(0), pointer, index, offset);
      return simd128.loadActivations(b, places);
    },
  };
  expect(planWith(simd128)).toBe(1);
  expect(() => planWith(writesActivations)).toThrow(/xq is only read in: store/);
});

test.each(targetNames)("a call of one row can be planned for %s, whatever the tiles of its atoms", async (name) => {
  const target = await loadTarget(name);
  const { programs } = draftPrograms(model, target, { model: "", target: name, prefillChunk: 1 });
  expect(programs).toHaveLength(target.variants.length);
});
