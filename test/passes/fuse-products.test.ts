/** The fusions of linears, rule by rule: what each makes of its pattern, and what it leaves alone. */
import { describe, expect, test } from "vitest";
import { fuseGatedLinear } from "../../compiler/passes/fuse-gated-linear.ts";
import { fuseJointQkv } from "../../compiler/passes/fuse-joint-qkv.ts";
import { fuseShortConv } from "../../compiler/passes/fuse-short-conv.ts";
import { after, linear, text, vector, weight } from "./graph-text.ts";

describe("fuse-gated-linear", () => {
  const swiglu = "y: f32[rows, 4] = swiglu(g, u)";
  const [w1, w3] = [weight("ffn.w1", 4, 4), weight("ffn.w3", 4, 4)];

  test("stacks gate and up", () => {
    expect(after(fuseGatedLinear, text(w1, w3, linear("u", 4, "x", "ffn.w3"), linear("g", 4, "x", "ffn.w1"), swiglu))).toBe(
      text(
        'const ffn.gate_up_proj: f32[8, 4] = "ffn.w1.weight"[4, 4], "ffn.w3.weight"[4, 4]',
        "y: f32[rows, 4] = gated-linear(x, ffn.gate_up_proj)",
      ),
    );
  });

  test("takes another name where that one is taken", () => {
    const taken = [weight("ffn.gate_up_proj", 4, 4), linear("z", 4, "y", "ffn.gate_up_proj")];
    const fused = after(fuseGatedLinear, text(w1, w3, linear("g", 4, "x", "ffn.w1"), linear("u", 4, "x", "ffn.w3"), swiglu, ...taken));
    expect(fused).toContain("gated-linear(x, ffn.gate_up_proj.2)");
  });

  test.each([
    ["a biased gate", [w1, w3, vector("b", 4), linear("g", 4, "x", "ffn.w1", "b"), linear("u", 4, "x", "ffn.w3"), swiglu]],
    [
      "a gate with a residual",
      [w1, w3, "g: f32[rows, 4] = linear(x, ffn.w1, x) bias=false residual=true", linear("u", 4, "x", "ffn.w3"), swiglu],
    ],
    ["different inputs", [w1, w3, "x2: f32[rows, 4] = add(x, x)", linear("g", 4, "x", "ffn.w1"), linear("u", 4, "x2", "ffn.w3"), swiglu]],
    [
      "a gate that is read twice",
      [
        w1,
        w3,
        linear("g", 4, "x", "ffn.w1"),
        linear("u", 4, "x", "ffn.w3"),
        "y2: f32[rows, 4] = swiglu(g, u)",
        "y: f32[rows, 4] = add(y2, g)",
      ],
    ],
    ["one linear as gate and up", [w1, linear("g", 4, "x", "ffn.w1"), "y: f32[rows, 4] = swiglu(g, g)"]],
    ["one weight for both", [w1, linear("g", 4, "x", "ffn.w1"), linear("u", 4, "x", "ffn.w1"), swiglu]],
    [
      "weights stored differently",
      [w1, weight("ffn.w3", 4, 4, "q4_0"), linear("g", 4, "x", "ffn.w1"), linear("u", 4, "x", "ffn.w3"), swiglu],
    ],
    ["no linears", ["g: f32[rows, 4] = add(x, x)", "y: f32[rows, 4] = swiglu(g, x)"]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(fuseGatedLinear, text(...lines))).toBe(text(...lines));
  });
});

describe("fuse-short-conv", () => {
  const weights = [weight("in", 12, 4), vector("p", 12), weight("taps", 4, 3), vector("b", 4)];
  const plain = "y: f32[rows, 4] = short-conv(z, taps) width=3 state=0 bias=false";
  const biased = "y: f32[rows, 4] = short-conv(z, taps, b) width=3 state=0 bias=true";

  test("without biases", () => {
    expect(after(fuseShortConv, text(...weights, linear("z", 12, "x", "in"), plain))).toBe(
      text(...weights, "y: f32[rows, 4] = gated-short-conv(x, in, taps) width=3 state=0 bias=false"),
    );
  });

  test("with both biases", () => {
    expect(after(fuseShortConv, text(...weights, linear("z", 12, "x", "in", "p"), biased))).toBe(
      text(...weights, "y: f32[rows, 4] = gated-short-conv(x, in, p, taps, b) width=3 state=0 bias=true"),
    );
  });

  test.each([
    ["a bias on the projection alone", [linear("z", 12, "x", "in", "p"), plain]],
    ["a bias on the convolution alone", [linear("z", 12, "x", "in"), biased]],
    ["a projection that is read twice", [linear("z", 12, "x", "in"), plain, "z2: f32[rows, 12] = add(z, z)"]],
    ["a projection with a residual", [linear("r", 12, "x", "in"), "z: f32[rows, 12] = linear(x, in, r) bias=false residual=true", plain]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(fuseShortConv, text(...weights, ...lines))).toBe(text(...weights, ...lines));
  });
});

describe("fuse-joint-qkv", () => {
  const attend = (q: string, k: string, v: string) =>
    `y: f32[rows, 4] = attention(${q}, ${k}, ${v}) heads=2 kvHeads=1 headSize=2 scale=0.5 window=null state=0 kv="f32"`;
  const [wq, wk, wv] = [weight("attn.q_proj", 4, 4), weight("attn.k_proj", 2, 4), weight("attn.v_proj", 2, 4)];
  const [q, k, v] = [linear("a.q", 4, "x", "attn.q_proj"), linear("a.k", 2, "x", "attn.k_proj"), linear("a.v", 2, "x", "attn.v_proj")];
  const rotated = [
    "qn: f32[rows, 4] = rms-norm(a.q, n) epsilon=0.001 width=2 quantize=false",
    "qr: f32[rows, 4] = rope(qn) headSize=2 base=10000",
    "kr: f32[rows, 2] = rope(a.k) headSize=2 base=10000",
  ];

  test("stacks the projections behind norms and rotations; other readers of q, k and v still find them", () => {
    const rest = [...rotated, attend("qr", "kr", "a.v"), "other: f32[rows, 2] = add(a.k, a.v)"];
    expect(after(fuseJointQkv, text(wq, wk, wv, vector("n", 2), k, q, v, ...rest))).toBe(
      text(
        'const attn.qkv_proj: f32[8, 4] = "attn.q_proj.weight"[4, 4], "attn.k_proj.weight"[2, 4], "attn.v_proj.weight"[2, 4]',
        vector("n", 2),
        "a.qkv: f32[rows, 8] = linear(x, attn.qkv_proj) bias=false residual=false",
        "a.q: f32[rows, 4] = slice(a.qkv) offset=0 size=4",
        "a.k: f32[rows, 2] = slice(a.qkv) offset=4 size=2",
        "a.v: f32[rows, 2] = slice(a.qkv) offset=6 size=2",
        ...rest,
      ),
    );
  });

  test.each([
    ["a biased projection", [wq, wk, wv, vector("b", 2), q, k, linear("a.v", 2, "x", "attn.v_proj", "b"), attend("a.q", "a.k", "a.v")]],
    ["one projection for k and v", [wq, wk, q, k, attend("a.q", "a.k", "a.k")]],
    ["one weight for k and v", [wq, wk, q, k, linear("a.v", 2, "x", "attn.k_proj"), attend("a.q", "a.k", "a.v")]],
    [
      "different inputs",
      [wq, wk, wv, "x2: f32[rows, 4] = add(x, x)", q, k, linear("a.v", 2, "x2", "attn.v_proj"), attend("a.q", "a.k", "a.v")],
    ],
    ["weights stored differently", [wq, wk, weight("attn.v_proj", 2, 4, "q4_0"), q, k, v, attend("a.q", "a.k", "a.v")]],
    ["something else in between", [wq, wk, wv, q, k, v, "v2: f32[rows, 2] = add(a.v, a.v)", attend("a.q", "a.k", "v2")]],
  ])("leaves alone: %s", (_case, lines) => {
    expect(after(fuseJointQkv, text(...lines))).toBe(text(...lines));
  });
});
