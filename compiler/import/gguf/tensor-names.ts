/**
 * What GGUF files call the tensors of LFM2 models, both ways. A GGUF file stacks the matrices of a layer's experts in one tensor, so what
 * the checkpoint has apart is there a slice of one; everything else corresponds one to one.
 */

/** GGUF's name and transformers', without what follows: `.weight`, or `.bias`. */
const wholeModel: readonly (readonly [gguf: string, checkpoint: string])[] = [
  ["token_embd", "model.embed_tokens"],
  ["token_embd_norm", "model.embedding_norm"],
  ["output", "lm_head"],
];

/** The same within `blk.N.` and `model.layers.N.`. */
const ofLayer: readonly (readonly [gguf: string, checkpoint: string])[] = [
  ["attn_norm", "operator_norm"],
  ["ffn_norm", "ffn_norm"],
  ["attn_q", "self_attn.q_proj"],
  ["attn_k", "self_attn.k_proj"],
  ["attn_v", "self_attn.v_proj"],
  ["attn_output", "self_attn.out_proj"],
  ["attn_q_norm", "self_attn.q_layernorm"],
  ["attn_k_norm", "self_attn.k_layernorm"],
  ["shortconv.in_proj", "conv.in_proj"],
  ["shortconv.conv", "conv.conv"],
  ["shortconv.out_proj", "conv.out_proj"],
  ["ffn_gate", "feed_forward.w1"],
  ["ffn_down", "feed_forward.w2"],
  ["ffn_up", "feed_forward.w3"],
  ["ffn_gate_inp", "feed_forward.gate"],
];

/** Stacked over the experts: GGUF's name, and the matrix of each expert. */
const ofExperts: readonly (readonly [gguf: string, matrix: string])[] = [
  ["ffn_gate_exps", "w1"],
  ["ffn_down_exps", "w2"],
  ["ffn_up_exps", "w3"],
];

/** The one tensor whose ending differs. */
const expertBias = { gguf: "exp_probs_b.bias", checkpoint: "feed_forward.expert_bias" };

/** Where a GGUF file has a tensor of the checkpoint: the whole of one of its tensors, or one slice of its outermost axis. */
export interface GgufPlace {
  readonly name: string;
  /** The slice; null for the whole. */
  readonly expert: number | null;
}

/** Where a GGUF file has the tensor that transformers calls `tensor`; null where GGUF has no name for it. */
export function ggufPlaceOf(tensor: string): GgufPlace | null {
  const layer = /^model\.layers\.(0|[1-9]\d{0,3})\.(.+)$/.exec(tensor);
  const [, index = "", rest = ""] = layer ?? [];
  if (!layer) return place(renamed(tensor, wholeModel, "checkpoint"));
  if (rest === expertBias.checkpoint) return place(`blk.${index}.${expertBias.gguf}`);
  const expert = /^feed_forward\.experts\.(0|[1-9]\d{0,3})\.(w[123])\.weight$/.exec(rest);
  const stacked = ofExperts.find(([, matrix]) => matrix === expert?.[2]);
  if (expert && stacked) return { name: `blk.${index}.${stacked[0]}.weight`, expert: Number(expert[1]) };
  const name = renamed(rest, ofLayer, "checkpoint");
  return place(name === null ? null : `blk.${index}.${name}`);
}

/**
 * What transformers calls a tensor of a GGUF file: one name, or for stacked experts one each of `expertCount`; none for an unknown
 * tensor.
 */
export function checkpointNamesOf(gguf: string, expertCount: number): readonly string[] {
  const layer = /^blk\.(0|[1-9]\d{0,3})\.(.+)$/.exec(gguf);
  const [, index = "", rest = ""] = layer ?? [];
  if (!layer) return [renamed(gguf, wholeModel, "gguf")].filter((name) => name !== null);
  const base = `model.layers.${index}`;
  if (rest === expertBias.gguf) return [`${base}.${expertBias.checkpoint}`];
  const matrix = ofExperts.find(([name]) => `${name}.weight` === rest)?.[1];
  if (matrix !== undefined) {
    return Array.from({ length: expertCount }, (_, expert) => `${base}.feed_forward.experts.${expert}.${matrix}.weight`);
  }
  const name = renamed(rest, ofLayer, "gguf");
  return name === null ? [] : [`${base}.${name}`];
}

/** Whether transformers has the tensor, taps [channels, width], with an axis of one channel in the middle: [channels, 1, width]. */
export function isTaps(tensor: string): boolean {
  return tensor.endsWith(".conv.conv.weight");
}

function place(name: string | null): GgufPlace | null {
  return name === null ? null : { name, expert: null };
}

/** The other side's name of `name`, which is one of `from`'s with an ending. */
function renamed(name: string, pairs: typeof ofLayer, from: "gguf" | "checkpoint"): string | null {
  const [, stem, ending] = /^(.+)\.(weight|bias)$/.exec(name) ?? [];
  const pair = pairs.find(([gguf, checkpoint]) => stem === (from === "gguf" ? gguf : checkpoint));
  return pair && ending !== undefined ? `${from === "gguf" ? pair[1] : pair[0]}.${ending}` : null;
}
