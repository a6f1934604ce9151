/** Fusion preserves bits: random models, interpreted before and after, give the same bits in every value that both graphs have. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Graph } from "../../compiler/graph/types.ts";
import { fuseGatedLinear } from "../../compiler/passes/fuse-gated-linear.ts";
import { fuseJointQkv } from "../../compiler/passes/fuse-joint-qkv.ts";
import { fuseNormQuantize } from "../../compiler/passes/fuse-norm-quantize.ts";
import { fuseResidual } from "../../compiler/passes/fuse-residual.ts";
import { fuseShortConv } from "../../compiler/passes/fuse-short-conv.ts";
import { runPasses, type Pass, type WeightEncoding } from "../../compiler/passes/index.ts";
import { quantizeActivations } from "../../compiler/passes/quantize-activations.ts";
import { quantizeWeights } from "../../compiler/passes/quantize-weights.ts";
import { allBits, randomModels, type RandomModel } from "./random-model.ts";

const productFusions: readonly Pass[] = [fuseJointQkv, fuseGatedLinear, fuseShortConv, fuseResidual];
const allFusions: readonly Pass[] = [...productFusions, fuseNormQuantize];

const mixture: readonly WeightEncoding[] = ["f32", "f16", "bf16", "q4_0", "q8_0"];
const mixed = quantizeWeights(
  ({ name }) => mixture[[...name].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0) % mixture.length] ?? "f32",
);

/** How the weights and activations were stored before the fusions came. */
const storages: Readonly<Record<string, readonly Pass[]>> = {
  f32: [],
  f16: [quantizeWeights(() => "f16")],
  bf16: [quantizeWeights(() => "bf16")],
  q4_0: [quantizeWeights(() => "q4_0")],
  q8_0: [quantizeWeights(() => "q8_0")],
  "q4_0 and q8": [quantizeWeights(() => "q4_0"), quantizeActivations],
  "q8_0 and q8": [quantizeWeights(() => "q8_0"), quantizeActivations],
  "mixed and q8": [mixed, quantizeActivations],
};

function opCount({ nodes }: Graph, op: string): number {
  return nodes.filter((node) => node.op === op).length;
}

async function expectSameBits(before: ReadonlyMap<string, readonly number[]>, graph: Graph, model: RandomModel, passes: readonly Pass[]) {
  const message = passes.map(({ name }) => name).join(", ");
  const after = await allBits(graph, model);
  const shared = [...after.keys()].filter((name) => before.has(name));
  expect(shared, message).toContain(`${model.calls.length - 1}/${graph.output}`);
  const pick = (bits: typeof after) => shared.map((name) => [name, bits.get(name)]);
  expect(pick(after), message).toEqual(pick(before));
}

test.each(Object.entries(storages))("any fusion, and all together, on weights in %s", async (_storage, passes) => {
  await fc.assert(
    fc.asyncProperty(randomModels, fc.constantFrom(...allFusions), async (model, fusion) => {
      const graph = runPasses(model.graph, passes);
      const before = await allBits(graph, model);
      for (const each of [[fusion], allFusions]) await expectSameBits(before, runPasses(graph, each), model, each);
    }),
    { numRuns: 25 },
  );
});

test("the fusions find all of their patterns in a model with weights stored alike", () => {
  fc.assert(
    fc.property(
      randomModels,
      fc.constantFrom(...Object.keys(storages).filter((name) => !name.startsWith("mixed"))),
      ({ graph }, storage) => {
        const fused = runPasses(runPasses(graph, storages[storage] ?? []), productFusions);
        for (const op of ["swiglu", "short-conv", "add"]) expect(opCount(fused, op), op).toBe(0);
        expect(opCount(fused, "gated-linear")).toBe(opCount(graph, "swiglu"));
        expect(opCount(fused, "gated-short-conv")).toBe(opCount(graph, "short-conv"));
        expect(opCount(fused, "slice")).toBe(3 * opCount(graph, "attention"));
      },
    ),
  );
});

test("fusing before quantising gives the graph that quantising before fusing gives", () => {
  fc.assert(
    fc.property(randomModels, fc.constantFrom<WeightEncoding>("f16", "q4_0", "q8_0"), ({ graph }, encoding) => {
      const quantize = [quantizeWeights(() => encoding), quantizeActivations];
      expect(runPasses(graph, [...productFusions, ...quantize])).toEqual(runPasses(graph, [...quantize, ...productFusions]));
    }),
  );
});

test("no fusion leaves a weight that nothing reads, or drops a checkpoint tensor", () => {
  fc.assert(
    fc.property(randomModels, ({ graph }) => {
      const fused = runPasses(graph, productFusions);
      const read = new Set(fused.nodes.flatMap(({ inputs }) => inputs));
      expect(fused.constants.filter(({ name }) => !read.has(name))).toEqual([]);
      const sources = ({ constants }: Graph) => constants.flatMap((constant) => constant.sources.map((source) => JSON.stringify(source)));
      expect(sources(fused).toSorted()).toEqual(sources(graph).toSorted());
    }),
  );
});
