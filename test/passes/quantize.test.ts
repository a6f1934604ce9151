/** The passes that choose how things are stored: which constants and values they touch, and that doing it twice changes nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { kvFormats } from "../../compiler/graph/kv-cache.ts";
import type { Graph } from "../../compiler/graph/types.ts";
import { runPasses, standardPasses, type Pass, type WeightEncoding } from "../../compiler/passes/index.ts";
import { kvFormat } from "../../compiler/passes/kv-format.ts";
import { quantizeActivations } from "../../compiler/passes/quantize-activations.ts";
import { quantizeWeights } from "../../compiler/passes/quantize-weights.ts";
import { after, expertMatrices, linear, text, vector, weight } from "./graph-text.ts";
import { randomModels } from "./random-model.ts";

const q4 = quantizeWeights(() => "q4_0");

/** What --quant speaks of, told from the checkpoint's names alone. */
const matrixName = /embed_tokens|lm_head|_proj\.weight|_proj$|feed_forward\.(experts\.\d+\.)?w[123]\.weight/;

function expectIdempotent(graph: Graph, pass: Pass): void {
  const once = runPasses(graph, [pass]);
  expect(runPasses(once, [pass])).toEqual(once);
}

describe("quantize-weights", () => {
  test("takes every matrix and nothing else", () => {
    fc.assert(
      fc.property(randomModels, fc.boolean(), ({ graph }, fuseFirst) => {
        const passes = standardPasses({ weights: () => "f32", activations: "f32", kv: "f32" });
        const { constants } = runPasses(graph, [...(fuseFirst ? passes : []), q4]);
        for (const { name, type, sources } of constants) {
          const matrix = sources.every(({ tensor }) => matrixName.test(tensor) && !tensor.endsWith("bias"));
          expect(type.encoding, name).toBe(matrix ? "q4_0" : "f32");
        }
      }),
    );
  });

  test("leaves alone a constant that also serves as something else", () => {
    const lines = [weight("w", 4, 4), linear("z", 4, "x", "w"), "y: f32[rows, 4] = short-conv(c, w) width=4 state=0 bias=false"];
    const wide = [weight("in", 12, 4), linear("c", 12, "x", "in")];
    const result = after(q4, text(...wide, ...lines));
    expect(result).toContain(weight("w", 4, 4));
    expect(result).toContain(weight("in", 12, 4, "q4_0"));
  });

  test("the choice sees each constant with its checkpoint tensors", () => {
    const choice = quantizeWeights(({ sources }): WeightEncoding => (sources.some(({ tensor }) => tensor === "b.weight") ? "f16" : "q4_0"));
    const nodes = [linear("z", 4, "x", "a"), linear("y", 4, "z", "b")];
    const table = (lines: string) => lines.replace("table: f32", "table: q4_0");
    expect(after(choice, text(weight("a", 4, 4), weight("b", 4, 4), ...nodes))).toBe(
      table(text(weight("a", 4, 4, "q4_0"), weight("b", 4, 4, "f16"), ...nodes)),
    );
  });

  test("twice is once", () => {
    fc.assert(
      fc.property(randomModels, ({ graph }) => {
        expectIdempotent(graph, q4);
      }),
    );
  });
});

describe("quantize-activations", () => {
  const a = weight("a", 4, 4, "q4_0");
  const b = weight("b", 4, 4, "q4_0");

  test("quantises a value once for all that take it, and leaves the rest of its readers be", () => {
    const router = "e: i32[rows, 1], p: f32[rows, 1] = router(x, g) expertCount=2 topK=1 normalize=true scale=1 bias=false";
    const residual = (x: string) => `y: f32[rows, 4] = linear(${x}, b, x) bias=false residual=true`;
    const gate = weight("g", 2, 4);
    expect(after(quantizeActivations, text(a, b, gate, linear("z", 4, "x", "a"), router, residual("x")))).toBe(
      text(a, b, gate, "x.q8: q8[rows, 4] = quantize(x)", linear("z", 4, "x.q8", "a"), router, residual("x.q8")),
    );
  });

  test("is one for products of every kind and either encoding", () => {
    const weights = [
      a,
      weight("gu", 8, 4, "q8_0"),
      weight("in", 12, 4, "q8_0"),
      weight("taps", 4, 2),
      weight("g", 2, 4),
      ...expertMatrices("q4_0", "q8_0"),
    ];
    const router = "e: i32[rows, 1], p: f32[rows, 1] = router(x, g) expertCount=2 topK=1 normalize=true scale=1 bias=false";
    const products = (x: string) => [
      linear("l", 4, x, "a"),
      `gl: f32[rows, 4] = gated-linear(${x}, gu)`,
      `sc: f32[rows, 4] = gated-short-conv(${x}, in, taps) width=2 state=0 bias=false`,
      router,
      `y: f32[rows, 4] = experts(${x}, e, p, gate_up, down) residual=false`,
    ];
    expect(after(quantizeActivations, text(...weights, ...products("x")))).toBe(
      text(...weights, "x.q8: q8[rows, 4] = quantize(x)", ...products("x.q8")),
    );
  });

  test("leaves the products with other weights what they read", () => {
    const weights = [a, weight("w", 4, 4, "f16"), weight("v", 4, 4, "q8_0")];
    const rest = [linear("s", 4, "x", "w"), "y: f32[rows, 4] = add(s, s)"];
    expect(after(quantizeActivations, text(...weights, linear("z", 4, "x", "a"), linear("t", 4, "x", "v"), ...rest))).toBe(
      text(...weights, "x.q8: q8[rows, 4] = quantize(x)", linear("z", 4, "x.q8", "a"), linear("t", 4, "x.q8", "v"), ...rest),
    );
  });

  test("takes another name where that one is taken", () => {
    const source = text(a, "x.q8: f32[rows, 4] = add(x, x)", linear("y", 4, "x", "a"));
    expect(after(quantizeActivations, source)).toContain("x.q8.2: q8[rows, 4] = quantize(x)");
  });

  test.each(["f32", "f16", "bf16"])("leaves alone: weights in %s", (encoding) => {
    const source = text(weight("w", 4, 4, encoding), linear("y", 4, "x", "w"));
    expect(after(quantizeActivations, source)).toBe(source);
  });

  test("leaves alone: experts of which one matrix is not quantised", () => {
    const experts = (gateUp: string, down: string) =>
      text(
        weight("g", 2, 4),
        ...expertMatrices(gateUp, down),
        "e: i32[rows, 1], p: f32[rows, 1] = router(x, g) expertCount=2 topK=1 normalize=true scale=1 bias=false",
        "y: f32[rows, 4] = experts(x, e, p, gate_up, down) residual=false",
      );
    expect(after(quantizeActivations, experts("q4_0", "f16"))).toBe(experts("q4_0", "f16"));
    expect(after(quantizeActivations, experts("f16", "q4_0"))).toBe(experts("f16", "q4_0"));
    expect(after(quantizeActivations, experts("q4_0", "q4_0"))).toContain("experts(x.q8, e, p");
  });

  test("every product with quantised weights reads q8, no value is quantised twice, and twice is once", () => {
    fc.assert(
      fc.property(randomModels, fc.constantFrom<WeightEncoding>("q4_0", "q8_0"), ({ graph }, encoding) => {
        const weights = quantizeWeights(() => encoding);
        const { nodes } = runPasses(graph, [weights, quantizeActivations]);
        const quantized = nodes.filter(({ op }) => op === "quantize").flatMap(({ inputs }) => inputs);
        expect(new Set(quantized).size).toBe(quantized.length);
        const products = nodes.filter(({ op }) => op === "linear" || op === "experts");
        expect(products.filter(({ inputs }) => !inputs[0]?.endsWith(".q8"))).toEqual([]);
        expectIdempotent(runPasses(graph, [weights]), quantizeActivations);
      }),
    );
  });
});

describe("kv-format", () => {
  test("sets every attention and nothing else, and twice is once", () => {
    fc.assert(
      fc.property(randomModels, fc.constantFrom(...kvFormats), ({ graph }, format) => {
        const changed = runPasses(graph, [kvFormat(format)]);
        const formats = changed.nodes.filter(({ op }) => op === "attention").map(({ attributes }) => attributes.kv);
        expect(formats.length).toBeGreaterThan(0);
        expect(new Set(formats)).toEqual(new Set([format]));
        expect(runPasses(changed, [kvFormat("f32")])).toEqual(graph);
        expectIdempotent(graph, kvFormat(format));
      }),
    );
  });

  test("leaves alone: a graph without attention", () => {
    const source = text(vector("n", 4), "y: f32[rows, 4] = rms-norm(x, n) epsilon=0.001 width=4 quantize=false");
    expect(after(kvFormat("f16"), source)).toBe(source);
  });
});
