/**
 * `ModelConfig` -> graph: LFM2 and LFM2-MoE as transformers defines them, one node an operation and nothing fused. Everything in which
 * releases differ arrives as a shape or an attribute. Value names are those of the golden tensors.
 */
import { createBuilder, type GraphBuilder } from "../graph/builder.ts";
import type { Graph, ValueName } from "../graph/types.ts";
import type { ModelConfig, MoeConfig } from "./config.ts";
import { expertConstants, wholeTensor } from "./lfm2-constants.ts";
import type { ExpertLayout } from "./tensor-names.ts";

/** What every part of a layer needs to say its piece. */
interface Site {
  readonly graph: GraphBuilder;
  readonly config: ModelConfig;
  /** Index of the layer, which is also the name of its state. */
  readonly layer: number;
}

/** The forward pass of one call: tokens of the rows in, logits of the rows that want them out. `layout` is that of the experts' tensors. */
export function buildGraph(config: ModelConfig, layout: ExpertLayout, name = "model"): Graph {
  const graph = createBuilder();
  const { hiddenSize, vocabSize, tied } = config;
  const embedding = graph.constant(wholeTensor("model.embed_tokens.weight", [vocabSize, hiddenSize]));
  let x = graph.node("embedding", [embedding], "embed");
  config.layers.forEach((kind, layer) => {
    const site: Site = { graph, config, layer };
    const u = norm(site, x, `model.layers.${layer}.operator_norm`, `layer.${layer}.operator_norm`);
    const operator = kind === "conv" ? shortConvolution(site, u) : attention(site, u);
    const sum = graph.node("add", [x, operator], `layer.${layer}.op_sum`);
    const v = norm(site, sum, `model.layers.${layer}.ffn_norm`, `layer.${layer}.ffn_norm`);
    const forward = config.moe && layer >= config.moe.denseLayers ? experts(site, v, config.moe, layout) : feedForward(site, v);
    x = graph.node("add", [sum, forward], `layer.${layer}.out`);
  });
  const selected = graph.node("select-rows", [x], "selected");
  // "embedding_norm" is the final norm, whatever its name says.
  const final = norm({ graph, config }, selected, "model.embedding_norm", "final_norm");
  const head = tied ? embedding : graph.constant(wholeTensor("lm_head.weight", [vocabSize, hiddenSize]));
  return graph.finish(name, graph.node("linear", [final, head], "logits", { bias: false, residual: false }));
}

/** z = in_proj(u) holds B, C and X; out_proj(C * conv(B * X)). */
function shortConvolution(site: Site, u: ValueName): ValueName {
  const { graph, config, layer } = site;
  const { hiddenSize: h, convWidth: width, convBias: bias } = config;
  const base = `model.layers.${layer}.conv`;
  const biasOf = (name: string, size: number) => (bias ? [graph.constant(wholeTensor(`${base}.${name}.bias`, [size]))] : []);
  const z = linear(site, u, `${base}.in_proj`, 3 * h, h, `layer.${layer}.conv_in`, biasOf("in_proj", 3 * h));
  const taps = graph.constant(wholeTensor(`${base}.conv.weight`, [h, 1, width], [h, width]));
  const y = graph.node("short-conv", [z, taps, ...biasOf("conv", h)], `layer.${layer}.conv`, { width, state: layer, bias });
  return linear(site, y, `${base}.out_proj`, h, h, `layer.${layer}.op_out`, biasOf("out_proj", h));
}

/** Grouped-query attention; q and k are normalised head by head before their rotation. */
function attention(site: Site, u: ValueName): ValueName {
  const { graph, config, layer } = site;
  const { hiddenSize, heads, kvHeads, headSize, ropeBase } = config;
  const base = `model.layers.${layer}.self_attn`;
  const project = (which: "q" | "k" | "v", count: number) =>
    linear(site, u, `${base}.${which}_proj`, count * headSize, hiddenSize, `layer.${layer}.${which}`);
  const rotate = (which: "q" | "k", x: ValueName) => {
    const normed = norm(site, x, `${base}.${which}_layernorm`, `layer.${layer}.${which}_norm`, headSize);
    return graph.node("rope", [normed], `layer.${layer}.${which}_rope`, { headSize, base: ropeBase });
  };
  const q = rotate("q", project("q", heads));
  const k = rotate("k", project("k", kvHeads));
  const v = project("v", kvHeads);
  const mixed = graph.node("attention", [q, k, v], `layer.${layer}.attention`, {
    heads,
    kvHeads,
    headSize,
    scale: headSize ** -0.5,
    window: null,
    state: layer,
    kv: "f32",
  });
  return linear(site, mixed, `${base}.out_proj`, hiddenSize, heads * headSize, `layer.${layer}.op_out`);
}

/** w2(silu(w1 u) * w3 u). */
function feedForward(site: Site, u: ValueName): ValueName {
  const { graph, config, layer } = site;
  const { hiddenSize, feedForwardSize } = config;
  const base = `model.layers.${layer}.feed_forward`;
  const gate = linear(site, u, `${base}.w1`, feedForwardSize, hiddenSize, `layer.${layer}.gate`);
  const up = linear(site, u, `${base}.w3`, feedForwardSize, hiddenSize, `layer.${layer}.up`);
  const product = graph.node("swiglu", [gate, up], `layer.${layer}.swiglu`);
  return linear(site, product, `${base}.w2`, hiddenSize, feedForwardSize, `layer.${layer}.ffn_out`);
}

/** The router picks experts for each row; their weighted feed-forwards are summed. */
function experts({ graph, config, layer }: Site, u: ValueName, moe: MoeConfig, layout: ExpertLayout): ValueName {
  const { expertCount, expertsPerToken, normalizeTopK, routedScale, expertBias } = moe;
  const base = `model.layers.${layer}.feed_forward`;
  const gate = graph.constant(wholeTensor(`${base}.gate.weight`, [expertCount, config.hiddenSize]));
  const bias = expertBias ? [graph.constant(wholeTensor(`${base}.expert_bias`, [expertCount]))] : [];
  const chosen = [`layer.${layer}.router.experts`, `layer.${layer}.router.weights`];
  graph.nodes("router", [u, gate, ...bias], chosen, {
    expertCount,
    topK: expertsPerToken,
    normalize: normalizeTopK,
    scale: routedScale,
    bias: expertBias,
  });
  const weights = expertConstants(moe, config.hiddenSize, base, layout);
  const matrices = [weights.gateUp, weights.down].map((matrix) => graph.constant(matrix));
  return graph.node("experts", [u, ...chosen, ...matrices], `layer.${layer}.ffn_out`, { residual: false });
}

/** weight [outputs, inputs] under `tensor`.weight; `bias` has one name or none. */
function linear(
  { graph }: Site,
  x: ValueName,
  tensor: string,
  outputs: number,
  inputs: number,
  name: ValueName,
  bias: readonly ValueName[] = [],
): ValueName {
  const weight = graph.constant(wholeTensor(`${tensor}.weight`, [outputs, inputs]));
  return graph.node("linear", [x, weight, ...bias], name, { bias: bias.length > 0, residual: false });
}

/** RMS norm of each run of `width` elements, over `tensor`.weight. */
function norm(
  { graph, config }: Pick<Site, "graph" | "config">,
  x: ValueName,
  tensor: string,
  name: ValueName,
  width = config.hiddenSize,
): ValueName {
  const weight = graph.constant(wholeTensor(`${tensor}.weight`, [width]));
  return graph.node("rms-norm", [x, weight], name, { epsilon: config.normEpsilon, width, quantize: false });
}
