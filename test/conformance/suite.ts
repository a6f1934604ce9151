/**
 * Declares the tests of a table: its rows on every target, optimised; a sample of all kernels as lowered, not optimised. Where a target says
 * that less is enough, kernels are chosen by what their names say that is new: test/long has all of them.
 */

import { afterAll, describe, expect, test } from "vitest";
import type { Case } from "./case.ts";
import type { CaseMaker } from "./kernels.ts";
import { createBuilds } from "./runner.ts";
import { isDistinct, runnable, type ConformanceTarget } from "./targets.ts";

/** One kernel in so many is also tested without optimisation. */
const sampleEvery = 10;
/** One kernel in so many is tested where not all are, whatever its name says. */
const chosenEvery = 16;
/** Milliseconds; the first row of a target waits for the compiler, which takes minutes for all of portable code. */
const timeout = 600_000;

/** What a target is held to: what is enough for it, or everything. */
export type Extent = "enough" | "all";

interface Row {
  readonly name: string;
  /** How many there are. */
  readonly total: number;
  readonly cases: readonly Case[];
}

/** The rows of a target that have cases for it: those of its atoms alone, where it shares the rest of its code with another. */
function rowsOf(table: Readonly<Record<string, CaseMaker>>, target: ConformanceTarget, extent: Extent): readonly Row[] {
  const isPart = !isDistinct(target);
  const seen = new Set<string>();
  return Object.entries(table).flatMap(([name, makeCases]) => {
    const all = makeCases(target.atoms);
    const own = isPart ? all.filter(({ kernel }) => target.atoms.some((atom) => kernel.name.includes(`_${atom.name}_`))) : all;
    const chosen = extent === "all" || target.enough === "all" ? null : chosenOf(name, namesOf(own), target, seen);
    const cases = chosen === null ? own : own.filter(({ kernel }) => chosen.has(kernel.name));
    return cases.length === 0 ? [] : [{ name, total: own.length, cases }];
  });
}

/**
 * Of the names of kernels one in so many, of which every target begins at another; and where forms are asked for, those
 * whose names say something that is not in `seen`, to which it is added.
 */
function chosenOf(row: string, names: readonly string[], target: ConformanceTarget, seen: Set<string>): ReadonlySet<string> {
  const turn = runnable.indexOf(target) % Math.min(chosenEvery, names.length);
  const chosen = new Set<string>();
  for (const [i, name] of names.entries()) {
    const fresh = formsOf(row, name).filter((form) => !seen.has(form));
    if (i % chosenEvery === turn || (target.enough === "forms" && fresh.length > 0)) chosen.add(name);
    for (const form of fresh) seen.add(form);
  }
  return chosen;
}

/** What a kernel of a row is, by its name, whatever its sizes; of a product also what multiplies, in any row: encoding, atom and tile together. */
function formsOf(row: string, name: string): readonly string[] {
  const multiplier = /^gemm_.*?(?=_n\d)/.exec(name) ?? [];
  const words = name.split("_").map((word) => (/^(?:b?f\d+|q\d|\ds\d+|t\d.*)$/.test(word) ? word : word.replace(/\d.*$/, "")));
  return [...multiplier, ...words.map((word) => `${row} ${word}`)];
}

export function declareConformance(
  table: Readonly<Record<string, CaseMaker>>,
  targets: readonly ConformanceTarget[] = runnable,
  extent: Extent = "enough",
): void {
  for (const target of targets) {
    const rows = rowsOf(table, target, extent);
    if (rows.length === 0) continue;
    describe(target.name, () => {
      declareRows(target, rows);
      if (!isDistinct(target)) return;
      const sample = rows.flatMap(({ cases }) => sampleOf(cases));
      test(`${sample.length} of these calls, not optimised`, { timeout }, async () => {
        const builds = createBuilds(target, sample, { optimize: false });
        expect(await builds.faultsOf(sample)).toEqual([]);
        await builds.close();
      });
    });
  }
}

/** One test a row, on kernels that are built together. */
function declareRows(target: ConformanceTarget, rows: readonly Row[]): void {
  const all = rows.flatMap(({ cases }) => cases);
  const builds = createBuilds(target, all, { optimize: true });
  afterAll(builds.close);
  for (const { name, total, cases } of rows) {
    const count = cases.length === total ? String(total) : `${cases.length} of ${total}`;
    test(`${name}: ${count} calls leave the interpreter's bytes`, { timeout }, async () => {
      expect(await builds.faultsOf(cases)).toEqual([]);
    });
  }
}

/** Each kernel's name once. */
function namesOf(cases: readonly Case[]): readonly string[] {
  return [...new Set(cases.map(({ kernel }) => kernel.name))];
}

/** The cases of one kernel in so many. */
function sampleOf(cases: readonly Case[]): readonly Case[] {
  const sampled = new Set(namesOf(cases).filter((_, i) => i % sampleEvery === 0));
  return cases.filter(({ kernel }) => sampled.has(kernel.name));
}
