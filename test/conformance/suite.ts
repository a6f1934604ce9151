/** Declares the tests of a table: every row on every target, optimised; a sample of all kernels as lowered, not optimised. */

import { describe, expect, test } from "vitest";
import type { Case } from "./case.ts";
import type { CaseMaker } from "./kernels.ts";
import { faultsOf, kernelsOf } from "./runner.ts";
import { isDistinct, runnable, type ConformanceTarget } from "./targets.ts";

/** One kernel in so many is also tested without optimisation. */
const sampleEvery = 5;
/** Milliseconds; products alone take a dozen seconds of a core. */
const timeout = 180_000;

/** Of the cases of a target that shares its code with another, but for its atoms, one in so many is enough. Odd: every second call has no rows. */
const sharedEvery = 5;

/** All cases of a row or the target's sample; or a part of those that its atoms appear in, where it shares the rest of its code with another. */
function casesFor(target: ConformanceTarget, makeCases: CaseMaker): readonly Case[] {
  const cases = makeCases(target.atoms);
  if (isDistinct(target)) return cases.filter((_, i) => i % (target.sample ?? 1) === 0);
  const own = cases.filter(({ kernel }) => target.atoms.some(({ name }) => kernel.name.includes(`_${name}_`)));
  return own.filter((_, i) => i % sharedEvery === 0);
}

export function declareConformance(table: Readonly<Record<string, CaseMaker>>, targets: readonly ConformanceTarget[] = runnable): void {
  for (const target of targets) {
    const rows = Object.entries(table)
      .map(([name, makeCases]) => ({ name, cases: casesFor(target, makeCases) }))
      .filter(({ cases }) => cases.length > 0);
    if (rows.length === 0) continue;
    describe(target.name, () => {
      for (const { name, cases } of rows) {
        test(`${name}: ${cases.length} calls leave the interpreter's bytes`, { timeout }, async () => {
          expect(await faultsOf(target, cases, { optimize: true })).toEqual([]);
        });
      }
      if (!isDistinct(target)) return;
      const sample = rows.flatMap(({ cases }) => sampleOf(cases));
      test(`${sample.length} of these calls, not optimised`, { timeout }, async () => {
        expect(await faultsOf(target, sample, { optimize: false })).toEqual([]);
      });
    });
  }
}

/** The cases of one kernel in so many. */
function sampleOf(cases: readonly Case[]): readonly Case[] {
  const sampled = new Set(
    kernelsOf(cases)
      .filter((_, i) => i % sampleEvery === 0)
      .map(({ name }) => name),
  );
  return cases.filter(({ kernel }) => sampled.has(kernel.name));
}
