/**
 * The tensors that a checkpoint of a given config must hold, by name and shape, and the comparison with those it does hold. Names are
 * exactly transformers' own; a tied lm head has no tensor.
 */
import { LfmcError } from "../errors.ts";
import type { LayerKind, ModelConfig, MoeConfig } from "./config.ts";
import { firstWarnings, shown } from "./schema-error.ts";
import { keptFloats, type FloatType, type TensorInfo, type WeightStore } from "./weight-store.ts";

/** Experts as three matrices each (hub files), or stacked in two tensors (raw state dicts of transformers 5). */
export type ExpertLayout = "separate" | "stacked";

/** What says which tensors there must be: a config of its own, or the metadata beside the tensors. */
export type ConfigSource = "config.json" | "the metadata";

type Entry = readonly [name: string, shape: readonly number[]];

/** Every tensor of the model, in layer order. The dtype is the config's (F32 where it says nothing); expert biases are always F32. */
export function expectedTensors(config: ModelConfig, layout: ExpertLayout): readonly TensorInfo[] {
  const { hiddenSize, vocabSize } = config;
  const entries: readonly Entry[] = [
    ["model.embed_tokens.weight", [vocabSize, hiddenSize]],
    ...config.layers.flatMap((kind, index) => layerEntries(config, kind, index, layout)),
    ["model.embedding_norm.weight", [hiddenSize]],
    ...(config.tied ? [] : [["lm_head.weight", [vocabSize, hiddenSize]] satisfies Entry]),
  ];
  const typeOf = (name: string): FloatType => (name.endsWith(".expert_bias") ? "F32" : (config.dtype ?? "F32"));
  return entries.map(([name, shape]) => ({ name, shape, dtype: typeOf(name), keep: keptFloats[typeOf(name)] }));
}

/** How the experts are laid out among these tensor names; hub files' layout where there is no sign of the other. */
export function expertLayout(names: ReadonlyMap<string, unknown>): ExpertLayout {
  for (const name of names.keys()) if (name.endsWith(".feed_forward.experts.gate_up_proj")) return "stacked";
  return "separate";
}

/**
 * Compares a store with the expected tensors. Throws `weights/missing`, `weights/shape`, or `safetensors/tensor` where a needed tensor
 * is stored in a type that lfmc does not read (`unreadable`: name -> dtype). Returns a warning for each tensor that nothing uses.
 */
export function checkTensors(
  expected: readonly TensorInfo[],
  store: WeightStore,
  unreadable: ReadonlyMap<string, string> = new Map(),
  source: ConfigSource = "config.json",
): readonly string[] {
  for (const tensor of expected) checkTensor(tensor, { expected, store, unreadable, source });
  const names = new Set(expected.map((tensor) => tensor.name));
  const extra = [...store.tensors.keys(), ...unreadable.keys()].filter((name) => !names.has(name));
  return firstWarnings(
    extra.map((name) => `weights: tensor ${shown(name)} is not part of the model and is ignored`),
    "tensors",
  );
}

interface Check {
  readonly expected: readonly TensorInfo[];
  readonly store: WeightStore;
  readonly unreadable: ReadonlyMap<string, string>;
  readonly source: ConfigSource;
}

function checkTensor({ name, shape }: TensorInfo, { expected, store, unreadable, source }: Check): void {
  const dtype = unreadable.get(name);
  if (dtype !== undefined) {
    const hint = "lfmc reads F32, F16 and BF16 checkpoints; use the original, unquantised weights";
    throw new LfmcError("safetensors/tensor", `is stored as ${dtype}`, { subject: name, hint });
  }
  const found = store.tensors.get(name);
  if (!found) {
    const missing = expected.filter((other) => !store.tensors.has(other.name) && !unreadable.has(other.name)).length;
    const own = source === "config.json" ? "is this config the checkpoint's own, and is the checkpoint complete?" : "is the file complete?";
    const hint = `${source} asks for it: ${own}`;
    throw new LfmcError("weights/missing", `is missing from the weights (${missing} of ${expected.length} tensors are)`, {
      subject: name,
      hint,
    });
  }
  if (found.shape.length !== shape.length || found.shape.some((size, axis) => size !== shape[axis])) {
    const fact = `has shape [${found.shape.join(", ")}], ${source} gives [${shape.join(", ")}]`;
    throw new LfmcError("weights/shape", fact, { subject: name, hint: shapeHint(name, source) });
  }
}

function shapeHint(name: string, source: ConfigSource): string {
  if (source === "the metadata") return "the file contradicts itself: convert the model again";
  if (/feed_forward\.w[123]\./.test(name)) return "check intermediate_size, block_ff_dim and block_auto_adjust_ff_dim in config.json";
  if (name.endsWith(".conv.conv.weight")) return "check conv_L_cache; an MLX conversion stores it transposed: use the original checkpoint";
  return "is this config.json the checkpoint's own?";
}

function layerEntries(config: ModelConfig, kind: LayerKind, index: number, layout: ExpertLayout): readonly Entry[] {
  const layer = `model.layers.${index}`;
  const { hiddenSize, moe } = config;
  return [
    [`${layer}.operator_norm.weight`, [hiddenSize]],
    ...(kind === "conv" ? convEntries(config, `${layer}.conv`) : attentionEntries(config, `${layer}.self_attn`)),
    [`${layer}.ffn_norm.weight`, [hiddenSize]],
    ...(moe && index >= moe.denseLayers
      ? moeEntries(moe, hiddenSize, `${layer}.feed_forward`, layout)
      : swigluEntries(hiddenSize, config.feedForwardSize, `${layer}.feed_forward`)),
  ];
}

function convEntries({ hiddenSize, convWidth, convBias }: ModelConfig, base: string): readonly Entry[] {
  const weights: readonly Entry[] = [
    [`${base}.in_proj.weight`, [3 * hiddenSize, hiddenSize]],
    [`${base}.conv.weight`, [hiddenSize, 1, convWidth]],
    [`${base}.out_proj.weight`, [hiddenSize, hiddenSize]],
  ];
  const biases: readonly Entry[] = [
    [`${base}.in_proj.bias`, [3 * hiddenSize]],
    [`${base}.conv.bias`, [hiddenSize]],
    [`${base}.out_proj.bias`, [hiddenSize]],
  ];
  return convBias ? [...weights, ...biases] : weights;
}

function attentionEntries({ hiddenSize, heads, kvHeads, headSize }: ModelConfig, base: string): readonly Entry[] {
  return [
    [`${base}.q_proj.weight`, [heads * headSize, hiddenSize]],
    [`${base}.k_proj.weight`, [kvHeads * headSize, hiddenSize]],
    [`${base}.v_proj.weight`, [kvHeads * headSize, hiddenSize]],
    [`${base}.q_layernorm.weight`, [headSize]],
    [`${base}.k_layernorm.weight`, [headSize]],
    [`${base}.out_proj.weight`, [hiddenSize, heads * headSize]],
  ];
}

/** w1 is the gate, w3 the value, w2 the way back. */
function swigluEntries(hiddenSize: number, width: number, base: string): readonly Entry[] {
  return [
    [`${base}.w1.weight`, [width, hiddenSize]],
    [`${base}.w2.weight`, [hiddenSize, width]],
    [`${base}.w3.weight`, [width, hiddenSize]],
  ];
}

function moeEntries(
  { expertCount, expertSize, expertBias }: MoeConfig,
  hiddenSize: number,
  base: string,
  layout: ExpertLayout,
): readonly Entry[] {
  const experts: readonly Entry[] =
    layout === "stacked"
      ? [
          [`${base}.experts.gate_up_proj`, [expertCount, 2 * expertSize, hiddenSize]],
          [`${base}.experts.down_proj`, [expertCount, hiddenSize, expertSize]],
        ]
      : Array.from({ length: expertCount }, (_, e) => swigluEntries(hiddenSize, expertSize, `${base}.experts.${e}`)).flat();
  const bias: readonly Entry[] = expertBias ? [[`${base}.expert_bias`, [expertCount]]] : [];
  return [[`${base}.gate.weight`, [expertCount, hiddenSize]], ...bias, ...experts];
}
