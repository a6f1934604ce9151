/** Fusions into what stands before: additions into products, quantisation into norms. */
import { describe, expect, test } from "vitest";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { fuseNormQuantize } from "../../compiler/passes/fuse-norm-quantize.ts";
import { fuseResidual } from "../../compiler/passes/fuse-residual.ts";
import { after, expertMatrices, linear, text, vector, weight } from "./graph-text.ts";

describe("fuse-residual", () => {
  const w = weight("w", 4, 4);
  const fused = "y: f32[rows, 4] = linear(x, w, x) bias=false residual=true";

  test.each([
    ["residual + linear", [w, linear("t", 4, "x", "w"), "y: f32[rows, 4] = add(x, t)"], [w, fused]],
    ["linear + residual", [w, linear("t", 4, "x", "w"), "y: f32[rows, 4] = add(t, x)"], [w, fused]],
    [
      "a residual that is made after the linear",
      [w, linear("t", 4, "x", "w"), "r: f32[rows, 4] = add(x, x)", "y: f32[rows, 4] = add(t, r)"],
      [w, "r: f32[rows, 4] = add(x, x)", "y: f32[rows, 4] = linear(x, w, r) bias=false residual=true"],
    ],
    [
      "a bias comes before the residual",
      [w, vector("b", 4), linear("t", 4, "x", "w", "b"), "y: f32[rows, 4] = add(x, t)"],
      [w, vector("b", 4), "y: f32[rows, 4] = linear(x, w, b, x) bias=true residual=true"],
    ],
    [
      "of two linears the second",
      [w, linear("s", 4, "x", "w"), linear("t", 4, "x", "w"), "y: f32[rows, 4] = add(s, t)"],
      [w, linear("s", 4, "x", "w"), "y: f32[rows, 4] = linear(x, w, s) bias=false residual=true"],
    ],
  ])("%s", (_case, before, expected) => {
    expect(after(fuseResidual, text(...before))).toBe(text(...expected));
  });

  test("experts", () => {
    const constants = [weight("g", 2, 4), ...expertMatrices()];
    const router = "e: i32[rows, 1], p: f32[rows, 1] = router(x, g) expertCount=2 topK=1 normalize=true scale=1 bias=false";
    const experts = "t: f32[rows, 4] = experts(x, e, p, gate_up, down) residual=false";
    expect(after(fuseResidual, text(...constants, router, experts, "y: f32[rows, 4] = add(x, t)"))).toBe(
      text(...constants, router, "y: f32[rows, 4] = experts(x, e, p, gate_up, down, x) residual=true"),
    );
  });

  test.each([
    ["a linear that is read twice", [w, linear("t", 4, "x", "w"), "s: f32[rows, 4] = add(x, t)", "y: f32[rows, 4] = swiglu(s, t)"]],
    ["a linear added to itself", [w, linear("t", 4, "x", "w"), "y: f32[rows, 4] = add(t, t)"]],
    ["a linear with a residual", [w, "t: f32[rows, 4] = linear(x, w, x) bias=false residual=true", "y: f32[rows, 4] = add(x, t)"]],
    ["no linear", ["y: f32[rows, 4] = add(x, x)"]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(fuseResidual, text(...lines))).toBe(text(...lines));
  });

  test("leaves alone: a linear that is the graph's output", () => {
    const source = [
      'graph "test"',
      'const table: f32[5, 4] = "table"[5, 4]',
      "x: f32[rows, 4] = embedding(table)",
      "s: f32[logits, 4] = select-rows(x)",
      "logits: f32[logits, 5] = linear(s, table) bias=false residual=false",
      "other: f32[logits, 5] = add(logits, logits2)",
      "output logits",
    ];
    const twin = "logits2: f32[logits, 5] = add(logits3, logits3)";
    const host = "logits3: f32[logits, 5] = linear(s, table) bias=false residual=false";
    const graph = parseGraph([...source.slice(0, 5), host, twin, ...source.slice(5)].join("\n"));
    expect(fuseResidual.run(graph)).toEqual(graph);
  });
});

describe("fuse-norm-quantize", () => {
  const constants = [weight("w", 4, 4, "q4_0"), vector("n", 4), vector("h", 2)];
  const norm = "u: f32[rows, 4] = rms-norm(x, n) epsilon=0.001 width=4 quantize=false";
  const quantize = "u.q8: q8[rows, 4] = quantize(u)";
  const product = linear("y", 4, "u.q8", "w");

  test("the norm gives its result quantised, under the name of the quantised value", () => {
    expect(after(fuseNormQuantize, text(...constants, norm, quantize, product))).toBe(
      text(...constants, "u.q8: q8[rows, 4] = rms-norm(x, n) epsilon=0.001 width=4 quantize=true", product),
    );
  });

  test.each([
    ["a norm that something else reads", [norm, quantize, linear("z", 4, "u.q8", "w"), "y: f32[rows, 4] = add(u, z)"]],
    ["a norm of heads", ["u: f32[rows, 4] = rms-norm(x, h) epsilon=0.001 width=2 quantize=false", quantize, product]],
    ["quantisation of something else", ["u: f32[rows, 4] = add(x, x)", quantize, product]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(fuseNormQuantize, text(...constants, ...lines))).toBe(text(...constants, ...lines));
  });
});
