/** Declares the tests of a table: every row on every target, optimised; a sample of the kernels as lowered, not optimised. */

import { describe, expect, test } from "vitest";
import type { CaseMaker } from "./kernels.ts";
import { faultsOf, kernelsOf } from "./runner.ts";
import { runnable } from "./targets.ts";

/** One kernel in so many is also tested without optimisation. */
const sampleEvery = 5;
/** Milliseconds; products alone take a dozen seconds of a core. */
const timeout = 180_000;

export function declareConformance(table: Readonly<Record<string, CaseMaker>>): void {
  describe.each(runnable)("$name", (target) => {
    for (const [name, makeCases] of Object.entries(table)) {
      const cases = makeCases(target.atoms);
      test(`${name}: ${cases.length} calls leave the interpreter's bytes`, { timeout }, async () => {
        expect(cases.length).toBeGreaterThan(0);
        expect(await faultsOf(target, cases, { optimize: true })).toEqual([]);
      });
      test(`${name}, not optimised`, { timeout }, async () => {
        const sampled = new Set(
          kernelsOf(cases)
            .filter((_, i) => i % sampleEvery === 0)
            .map((kernel) => kernel.name),
        );
        const sample = cases.filter(({ kernel }) => sampled.has(kernel.name));
        expect(await faultsOf(target, sample, { optimize: false })).toEqual([]);
      });
    }
  });
}
