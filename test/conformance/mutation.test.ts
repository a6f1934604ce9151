/**
 * Conformance can fail: kernels broken in one statement, built for a target and compared with the interpreter on the whole kernel.
 * Some mutants compute the same (a constant that only ever meets zeros, a maximum over a padding), so a small part may survive;
 * what survives is in the message.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { caseName, type Case } from "./case.ts";
import { others, products } from "./kernels.ts";
import { mutations, replaceStatement, statementsOf } from "./mutation.ts";
import { difference, emitted, interpreted, memoryBytesOf, prepareCase } from "./runner.ts";
import { probed, type Built } from "./targets.ts";

/** Mutants that are tried of each row of the table. */
const mutantsPerRow = 40;
/** Surviving part that is accepted; see above. */
const acceptedSurvivors = 0.1;

interface Mutant {
  readonly description: string;
  readonly kernel: Kernel;
  readonly cases: readonly Case[];
}

/** All mutants of a kernel. */
function mutantsOf(kernel: Kernel, cases: readonly Case[]): readonly Mutant[] {
  return statementsOf(kernel.body).flatMap((statement, at) =>
    mutations.flatMap((mutation, i): readonly Mutant[] => {
      const broken = mutation.apply(statement);
      if (!broken) return [];
      const mutant = replaceStatement(kernel, statement, broken, `${kernel.name}_mutant_${at}_${i}`);
      return [{ description: `${kernel.name}: ${mutation.name}: ${JSON.stringify(broken)}`, kernel: mutant, cases }];
    }),
  );
}

/** Memory of the kernels that are broken, at most: the larger a shape, the fewer of its statements are without effect. */
const largestMemory = 1 << 17;
const chosenKernels = 2;

/** The cases of a row's largest kernels. */
function chosenCases(cases: readonly Case[]): ReadonlyMap<Kernel["name"], readonly Case[]> {
  const byKernel = new Map<Kernel["name"], readonly Case[]>();
  for (const each of cases) byKernel.set(each.kernel.name, [...(byKernel.get(each.kernel.name) ?? []), each]);
  const sizes = [...byKernel]
    .map(([name, own]) => ({ name, own, bytes: memoryBytesOf(own) }))
    .filter(({ bytes }) => bytes <= largestMemory);
  return new Map(
    sizes
      .toSorted((a, b) => b.bytes - a.bytes)
      .slice(0, chosenKernels)
      .map(({ name, own }) => [name, own]),
  );
}

function isCaught({ kernel, cases }: Mutant, built: Built, expected: ReadonlyMap<string, Uint8Array>): boolean {
  return cases.some((each) => {
    const before = prepareCase(each);
    try {
      const right = expected.get(caseName(each));
      return !right || difference(before, right, emitted({ ...each, kernel }, before, built)) !== undefined;
    } catch (error) {
      // Left the memory, or wrote behind the image.
      if (error instanceof Error) return true;
      throw error;
    }
  });
}

describe.each(probed)("$name", (target) => {
  test.each(Object.entries({ ...products, ...others }))("broken kernels of %s are caught", async (_, makeCases) => {
    const chosen = chosenCases(makeCases(target.atoms));
    const all = [...chosen.values()].flatMap((cases) => (cases[0] ? mutantsOf(cases[0].kernel, cases) : []));
    const size = Math.min(mutantsPerRow, all.length);
    const [sample = []] = fc.sample(fc.shuffledSubarray([...all], { minLength: size, maxLength: size }), { seed: 1, numRuns: 1 });
    const cases = [...chosen.values()].flat();
    const expected = new Map(cases.map((each) => [caseName(each), interpreted(each, prepareCase(each))]));
    const built = await target.build(
      sample.map(({ kernel }) => kernel),
      { memoryBytes: memoryBytesOf(cases), optimize: false, mayWarn: true },
    );
    const survivors = sample.filter((mutant) => !isCaught(mutant, built, expected)).map(({ description }) => description);
    built.close?.();
    expect(sample.length).toBeGreaterThan(mutantsPerRow / 2);
    expect(survivors.slice(0, Math.max(0, survivors.length - acceptedSurvivors * sample.length))).toEqual([]);
  });
});
