/** `--tensor-type` and `--quant` as a choice of encodings. */
import { describe, expect, test } from "vitest";
import { LfmcError } from "../../compiler/errors.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import type { Graph, WeightEncoding } from "../../compiler/graph/types.ts";
import { chooseEncodings, parseTensorType, runPasses, standardPasses, type FormatRequest } from "../../compiler/passes/index.ts";
import { quantizeWeights } from "../../compiler/passes/quantize-weights.ts";

const expert = (matrix: string, index: number): string => `"layers.0.experts.${index}.${matrix}.weight"[4, 4]`;
const graph = parseGraph(`graph "test"
const embed: f32[5, 4] = "model.embed_tokens.weight"[5, 4]
const norm: f32[4] = "model.embedding_norm.weight"[4]
const router: f32[2, 4] = "layers.0.gate.weight"[2, 4]
const gate_up: f32[2, 8, 4] = ${expert("w1", 0)}, ${expert("w3", 0)}, ${expert("w1", 1)}, ${expert("w3", 1)}
const down: f32[2, 4, 4] = ${expert("w2", 0)}, ${expert("w2", 1)}
const gate: f32[4, 4] = "layers.1.w1.weight"[4, 4]
const up: f32[4, 4] = "layers.1.w3.weight"[4, 4]
x: f32[rows, 4] = embedding(embed)
e: i32[rows, 1], p: f32[rows, 1] = router(x, router) expertCount=2 topK=1 normalize=true scale=1 bias=false
y: f32[rows, 4] = experts(x, e, p, gate_up, down) residual=false
g: f32[rows, 4] = linear(y, gate) bias=false residual=false
u: f32[rows, 4] = linear(y, up) bias=false residual=false
z: f32[rows, 4] = swiglu(g, u)
selected: f32[logits, 4] = select-rows(z)
n: f32[logits, 4] = rms-norm(selected, norm) epsilon=0.001 width=4 quantize=false
logits: f32[logits, 5] = linear(n, embed) bias=false residual=false
output logits
`);

const request = (tensorTypes: readonly string[], rest: Partial<FormatRequest> = {}): FormatRequest => ({
  quant: "q4_0",
  tensorTypes: tensorTypes.map(parseTensorType),
  keepOf: () => {
    throw new Error("nobody asked for keep");
  },
  ...rest,
});

/** Encodings by constant, of those that are not f32. */
function encodings(asked: FormatRequest, of: Graph = graph): Readonly<Record<string, string>> {
  const { constants } = runPasses(of, [quantizeWeights(chooseEncodings(of, asked).encodingOf)]);
  return Object.fromEntries(constants.filter(({ type }) => type.encoding !== "f32").map(({ name, type }) => [name, type.encoding]));
}

/** What the function throws, as "code subject: fact (hint)". */
function complaint(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof LfmcError) return `${error.code} ${error.message} (${error.hint})`;
    throw error;
  }
  return "none";
}

const all = (encoding: string) => Object.fromEntries(["embed", "gate_up", "down", "gate", "up"].map((name) => [name, encoding]));

describe("one --tensor-type", () => {
  test.each([
    ["model.embed_tokens.*=q8_0", { glob: "model.embed_tokens.*", format: "q8_0" }],
    ["*=keep", { glob: "*", format: "keep" }],
    ["a=b=f16", { glob: "a=b", format: "f16" }],
  ])("%s", (text, expected) => {
    expect(parseTensorType(text)).toEqual(expected);
  });

  test.each([
    ["", '"" is not GLOB=FORMAT'],
    ["q8_0", '"q8_0" is not GLOB=FORMAT'],
    ["=q8_0", '"=q8_0" is not GLOB=FORMAT'],
    ["*.w2.*=", 'unknown format ""'],
    ["*.w2.*=q5_0", 'unknown format "q5_0"'],
    ["*.w2.*=Q8_0", 'unknown format "Q8_0"'],
    ["*=q8", 'unknown format "q8"'],
    ["*=toString", 'unknown format "toString"'],
    ["*=q8_0 ", 'unknown format "q8_0 "'],
  ])("%j is refused", (text, fact) => {
    expect(complaint(() => parseTensorType(text))).toContain(`usage/flag --tensor-type: ${fact} (write GLOB=FORMAT, like`);
  });
});

describe("the choice", () => {
  test.each([
    ["--quant alone", [], all("q4_0")],
    ["one tensor by its name", ["model.embed_tokens.weight=q8_0"], { ...all("q4_0"), embed: "q8_0" }],
    ["* crosses dots", ["*.w2.*=f16"], { ...all("q4_0"), down: "f16" }],
    ["? is one letter", ["layers.?.w1.weight=bf16"], { ...all("q4_0"), gate: "bf16" }],
    ["two stars are one", ["**w2**=f16"], { ...all("q4_0"), down: "f16" }],
    ["the last one wins", ["*=q8_0", "*.w?.*=bf16", "*.w2.*=f16"], { ...all("bf16"), embed: "q8_0", down: "f16" }],
    ["the first one loses", ["*.w2.*=f16", "*=q8_0"], all("q8_0")],
    ["w1 and w3 of all experts", ["*.experts.*.w1.*=f16", "*.experts.*.w3.*=f16"], { ...all("q4_0"), gate_up: "f16" }],
    ["all matrices of all experts", ["*.experts.*=f16"], { ...all("q4_0"), gate_up: "f16", down: "f16" }],
    ["f32 is a format too", ["*.w?.*=f32"], { embed: "q4_0" }],
  ])("%s", (_case, tensorTypes, expected) => {
    expect(encodings(request(tensorTypes))).toEqual(expected);
    expect(chooseEncodings(graph, request(tensorTypes)).warnings).toEqual([]);
  });

  test("a glob is no regular expression, and matches whole names", () => {
    for (const glob of [
      "model.embed_tokens",
      "embed_tokens.weight",
      "model.embed_tokensXweight",
      "model.embed_tokens.(weight)",
      "[a-z.]+",
      "Model.*",
    ]) {
      expect(encodings(request([`${glob}=q8_0`])), glob).toEqual(all("q4_0"));
    }
  });

  test("a glob that matches no matrix is warned of, one that a later one overrules is not", () => {
    expect(chooseEncodings(graph, request(["lm_head.*=q8_0", "*norm*=f16", "*.w2.*=f16", "*.w2.*=q8_0"])).warnings).toEqual([
      '--tensor-type: "lm_head.*" matches no tensor of the model',
      '--tensor-type: "*norm*" matches no matrix (norms, biases, taps and routers stay f32)',
    ]);
  });

  test.each([
    ["one expert", "*.experts.1.*", "0.w1.weight would be q4_0, layers.0.experts.1.w1.weight q8_0"],
    ["w1 without w3", "*.experts.*.w1.*", "0.w1.weight would be q8_0, layers.0.experts.0.w3.weight q4_0"],
    ["w3 without w1", "*.experts.*.w3.*", "0.w1.weight would be q4_0, layers.0.experts.0.w3.weight q8_0"],
    ["w2 of one expert", "*.experts.0.w2.*", "0.w2.weight would be q8_0, layers.0.experts.1.w2.weight q4_0"],
  ])("w1 and w3 of all experts are one matrix, w2 of all another, each stored alike: not %s", (_case, glob, fact) => {
    expect(complaint(() => chooseEncodings(graph, request([`${glob}=q8_0`])))).toBe(
      `usage/flag --tensor-type: layers.0.experts.${fact}, and both are one matrix ` +
        "(all experts' w1 and w3 are one matrix, their w2 another: '*.experts.*=q8_0' matches both, '*.experts.*.w2.*=q8_0' w2)",
    );
  });

  test("keep is what the checkpoint has, and f32 where experts differ", () => {
    const stored: Readonly<Record<string, WeightEncoding>> = {
      "model.embed_tokens.weight": "bf16",
      "layers.0.experts.0.w1.weight": "f16",
      "layers.0.experts.0.w3.weight": "f16",
      "layers.0.experts.1.w1.weight": "f16",
      "layers.0.experts.1.w3.weight": "f16",
      "layers.0.experts.0.w2.weight": "f16",
      "layers.0.experts.1.w2.weight": "bf16",
    };
    const keepOf = (tensor: string): WeightEncoding => stored[tensor] ?? "f32";
    expect(encodings(request([], { quant: "keep", keepOf }))).toEqual({ embed: "bf16", gate_up: "f16" });
    const grouped = (tensor: string): WeightEncoding => (tensor.includes(".w1.") ? "q4_0" : "q4_1");
    expect(encodings(request(["*.experts.*=keep"], { keepOf: grouped }))).toEqual({ ...all("q4_0"), gate_up: "q8_0", down: "q4_1" });
    expect(encodings(request(["*embed*=keep"], { keepOf }))).toEqual({ ...all("q4_0"), embed: "bf16" });
  });

  test("matrices stored differently stay apart, those stored alike are stacked, and the choice knows the stack", () => {
    const opsWith = (tensorTypes: readonly string[]) => {
      const { encodingOf } = chooseEncodings(graph, request(tensorTypes));
      const passes = standardPasses({ weights: encodingOf, activations: "q8", kv: "f32" });
      const result = runPasses(graph, passes);
      expect(runPasses(result, passes)).toEqual(result);
      return result.nodes.map(({ op }) => op);
    };
    expect(opsWith(["layers.1.w1.*=q8_0"])).toContain("swiglu");
    expect(opsWith(["*=q8_0"])).toContain("gated-linear");
  });
});
