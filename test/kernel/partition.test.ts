/** Partitioned kernels: all shares together are the whole kernel, in any order and number, and each is a legal kernel. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { interpretKernel, type Argument } from "../../compiler/kernel/interpret.ts";
import type { Kernel } from "../../compiler/kernel/ir.ts";
import { storeEpilogue } from "../../compiler/kernel/library/epilogues.ts";
import { gemm } from "../../compiler/kernel/library/gemm.ts";
import { boundNames, partitionKernel } from "../../compiler/kernel/partition.ts";
import { verifyKernel } from "../../compiler/kernel/verify.ts";
import { gemmCases } from "../conformance/cases/products.ts";
import { attentionCases } from "../conformance/cases/attention.ts";
import { rmsNormCases } from "../conformance/cases/rows.ts";
import type { Case } from "../conformance/case.ts";
import type { Image } from "../conformance/image.ts";
import { interpreted, prepareCase } from "../conformance/runner.ts";
import { simd128 } from "../../targets/wasm/atoms.ts";
import { double } from "./support.ts";

/** The largest of a table's cases that has the loop, with how many turns of it there are. */
function largest(cases: readonly Case[], loop: string, unitsOf: (kernel: Kernel, rows: number) => number): { each: Case; units: number } {
  const sized = cases
    .filter(({ kernel }) => partitionKernel(kernel, loop) !== null)
    .map((each) => ({ each, units: unitsOf(each.kernel, Number(each.args.rows)) }));
  const [first] = sized.toSorted((a, b) => b.units - a.units || b.each.kernel.name.localeCompare(a.each.kernel.name));
  if (!first || first.units < 2) throw new Error(`no case has two turns of ${loop}`);
  return first;
}

/** The memory after all shares have run, one after the other. */
function runShares({ kernel, args }: Case, loop: string, bounds: readonly (readonly [number, number])[]): Uint8Array {
  const shared = partitionKernel(kernel, loop);
  if (!shared) throw new Error(`${kernel.name} has no loop ${loop}`);
  verifyKernel(shared);
  const before = prepareCase({ kernel, label: "shares", args });
  const names = boundNames(loop);
  for (const [from, to] of bounds) {
    const values = shared.parameters.map(({ name }): Argument => {
      if (name === names.from) return from;
      if (name === names.to) return to;
      const region = before.regions.find((each) => each.name === name);
      return region ? { bytes: before.bytes.subarray(region.offset, region.offset + region.bytes) } : Number(args[name]);
    });
    interpretKernel(shared, values);
  }
  return withoutScratch(before, before.bytes);
}

/** Scratch is each thread's own: what a share leaves there is nobody's business. */
function withoutScratch({ regions }: Image, bytes: Uint8Array): Uint8Array {
  for (const { name, offset, bytes: length } of regions) if (name === "tile" || name === "scratch") bytes.fill(0, offset, offset + length);
  return bytes;
}

const tables = [
  {
    name: "panels of a product",
    loop: "panels",
    cases: gemmCases([simd128]),
    // Sets of as many panels as a single row meets by turns.
    units: (kernel: Kernel) =>
      Math.ceil(Number(/_n(?:\d+x)?(\d+)_/.exec(kernel.name)?.[1]) / 16 / Number(/_(\d+)p_/.exec(kernel.name)?.[1] ?? 1)),
  },
  {
    name: "heads of attention",
    loop: "head",
    cases: attentionCases(),
    units: (kernel: Kernel) => Number(/^attention_\d+h_[a-z0-9]+(?:_0)?_(\d+)x/.exec(kernel.name)?.[1]),
  },
  { name: "rows of a norm", loop: "row", cases: rmsNormCases(), units: (_: Kernel, rows: number) => rows },
];

test.each(tables)("shares of the $name make up the whole", ({ loop, cases, units }) => {
  const { each, units: count } = largest(cases, loop, units);
  const image = prepareCase({ ...each, label: "shares" });
  const whole = withoutScratch(image, interpreted(each, image));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: count }), { maxLength: 4 }), fc.boolean(), (cuts, isReversed) => {
      const ends = [0, ...cuts.toSorted((a, b) => a - b), count];
      const bounds = ends.slice(1).map((to, i): readonly [number, number] => [ends[i] ?? 0, to]);
      expect(Buffer.compare(runShares(each, loop, isReversed ? bounds.toReversed() : bounds), whole)).toBe(0);
    }),
    { numRuns: 12 },
  );
  // A share left out is missed: the test can fail.
  expect(Buffer.compare(runShares(each, loop, [[0, count - 1]]), whole)).not.toBe(0);
});

test("a kernel without the loop has no shares", () => {
  const single = gemm({
    layout: { encoding: { weights: "f32" }, matrices: 1, streams: 1, rows: 16, columns: 4 },
    inputStride: 4,
    atom: null,
    tile: { rows: 1, unpackedParts: null, streamedPanels: null },
    byExpert: false,
    epilogue: storeEpilogue({ stride: 16, bias: false, residualStride: null }),
  });
  expect(partitionKernel(single, "panel")).toBeNull();
  expect(partitionKernel(double, "row")).toBeNull();
  expect(partitionKernel(double, "i")?.name).toBe("double_by_i");
});

test("a loop that stands twice cannot be divided", () => {
  const twice: Kernel = { ...double, body: [...double.body, ...double.body] };
  expect(() => partitionKernel(twice, "i")).toThrow(/2 loops i/);
});
