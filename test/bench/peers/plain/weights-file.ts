/** The file that `plain.c` maps: the sizes of a dense model, then its tensors in the order in which the program reads them. */
import { open, type FileHandle } from "node:fs/promises";
import { LfmcError } from "../../../../compiler/errors.ts";
import type { LayerKind, ModelConfig } from "../../../../compiler/import/config.ts";
import { importModel, type ImportOptions } from "../../../../compiler/import/model.ts";
import type { WeightStore } from "../../../../compiler/import/weight-store.ts";
import { groupSize } from "../../../../compiler/numeric/quantize.ts";

/** How matrices are stored: as numbers, or as int8 in groups of 32 of a scale each. */
export type PlainEncoding = "f32" | "int8";

/** Part of a file's name in a cache: to be changed with anything below. */
export const fileVersion = 1;

const magic = 0x4e4c504c;

interface PlainTensor {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Matrices are what the encoding is about; the rest is f32. */
  readonly isMatrix: boolean;
}

/** Writes the model at `source`, a folder or a config.json, to `path`. Throws as importModel does, and config/unsupported for other models than dense ones whose widths fit the encoding. */
export async function writePlainModel(source: string, path: string, encoding: PlainEncoding, options: ImportOptions = {}): Promise<void> {
  const { config, store } = await importModel(source, options);
  try {
    const tensors = tensorsOf(config);
    checkEncoding(config, tensors, encoding, source);
    const file = await open(path, "w");
    try {
      await file.write(header(config, encoding));
      for (const tensor of tensors) await writeTensor(file, store, tensor, encoding);
    } finally {
      await file.close();
    }
  } finally {
    await store.close();
  }
}

/** Bytes of the model's tensors. */
export function plainWeightBytes(config: ModelConfig, encoding: PlainEncoding): number {
  return tensorsOf(config).reduce((sum, tensor) => sum + bytesOf(tensor, encoding), 0);
}

function bytesOf({ rows, columns, isMatrix }: PlainTensor, encoding: PlainEncoding): number {
  const count = rows * columns;
  return isMatrix && encoding === "int8" ? count + (4 * count) / groupSize : 4 * count;
}

function checkEncoding({ moe }: ModelConfig, tensors: readonly PlainTensor[], encoding: PlainEncoding, subject: string): void {
  const hint = "plain loops are of dense LFM2, and int8 of widths that are multiples of 32";
  if (moe) throw new LfmcError("config/unsupported", "is a mixture of experts", { subject, hint });
  const odd = tensors.find(({ columns, isMatrix }) => isMatrix && encoding === "int8" && columns % groupSize !== 0);
  if (odd) throw new LfmcError("config/unsupported", `has ${odd.columns} columns in ${odd.name}`, { subject, hint });
}

function header(config: ModelConfig, encoding: PlainEncoding): Uint8Array {
  const sizes = [
    magic,
    Number(encoding === "int8"),
    config.layers.length,
    config.hiddenSize,
    config.feedForwardSize,
    config.heads,
    config.kvHeads,
    config.headSize,
    config.convWidth,
    config.vocabSize,
    Number(config.tied),
    Number(config.convBias),
  ];
  const floats = new Float32Array([config.normEpsilon, config.ropeBase]);
  const kinds = config.layers.map((kind) => Number(kind === "attention"));
  return Buffer.concat([bytesIn(new Int32Array(sizes)), bytesIn(floats), bytesIn(new Int32Array(kinds))]);
}

function bytesIn({ buffer, byteOffset, byteLength }: Float32Array | Int32Array | Int8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function tensorsOf(config: ModelConfig): readonly PlainTensor[] {
  const { vocabSize, hiddenSize, tied, layers } = config;
  return [
    matrix("model.embed_tokens.weight", vocabSize, hiddenSize),
    vectorOf("model.embedding_norm.weight", hiddenSize),
    ...(tied ? [] : [matrix("lm_head.weight", vocabSize, hiddenSize)]),
    ...layers.flatMap((kind, layer) => layerTensors(config, kind, `model.layers.${layer}`)),
  ];
}

function layerTensors(config: ModelConfig, kind: LayerKind, base: string): readonly PlainTensor[] {
  const { hiddenSize: h, feedForwardSize } = config;
  return [
    vectorOf(`${base}.operator_norm.weight`, h),
    vectorOf(`${base}.ffn_norm.weight`, h),
    ...(kind === "attention" ? attentionTensors(config, `${base}.self_attn`) : convolutionTensors(config, `${base}.conv`)),
    matrix(`${base}.feed_forward.w1.weight`, feedForwardSize, h),
    matrix(`${base}.feed_forward.w3.weight`, feedForwardSize, h),
    matrix(`${base}.feed_forward.w2.weight`, h, feedForwardSize),
  ];
}

function attentionTensors({ hiddenSize: h, heads, kvHeads, headSize }: ModelConfig, base: string): readonly PlainTensor[] {
  return [
    matrix(`${base}.q_proj.weight`, heads * headSize, h),
    matrix(`${base}.k_proj.weight`, kvHeads * headSize, h),
    matrix(`${base}.v_proj.weight`, kvHeads * headSize, h),
    matrix(`${base}.out_proj.weight`, h, heads * headSize),
    vectorOf(`${base}.q_layernorm.weight`, headSize),
    vectorOf(`${base}.k_layernorm.weight`, headSize),
  ];
}

function convolutionTensors({ hiddenSize: h, convWidth, convBias }: ModelConfig, base: string): readonly PlainTensor[] {
  const biases = [vectorOf(`${base}.in_proj.bias`, 3 * h), vectorOf(`${base}.conv.bias`, h), vectorOf(`${base}.out_proj.bias`, h)];
  return [
    matrix(`${base}.in_proj.weight`, 3 * h, h),
    { ...matrix(`${base}.conv.weight`, h, convWidth), isMatrix: false },
    matrix(`${base}.out_proj.weight`, h, h),
    ...(convBias ? biases : []),
  ];
}

function matrix(name: string, rows: number, columns: number): PlainTensor {
  return { name, rows, columns, isMatrix: true };
}

function vectorOf(name: string, columns: number): PlainTensor {
  return { name, rows: 1, columns, isMatrix: false };
}

const mostRowsAtOnce = 1024;

async function writeTensor(file: FileHandle, store: WeightStore, tensor: PlainTensor, encoding: PlainEncoding): Promise<void> {
  const { name, rows, isMatrix } = tensor;
  const scales: Uint8Array[] = [];
  for (let start = 0; start < rows; start += mostRowsAtOnce) {
    const values = await store.readRows(name, start, Math.min(mostRowsAtOnce, rows - start));
    if (isMatrix && encoding === "int8") {
      const groups = quantized(values);
      await file.write(bytesIn(groups.bytes));
      scales.push(bytesIn(groups.scales));
    } else {
      await file.write(bytesIn(values));
    }
  }
  for (const part of scales) await file.write(part);
}

/** As llama2.c has them: a group's largest magnitude becomes 127. */
function quantized(values: Float32Array): { readonly bytes: Int8Array; readonly scales: Float32Array } {
  const bytes = new Int8Array(values.length);
  const scales = new Float32Array(values.length / groupSize);
  for (let group = 0; group < scales.length; group++) {
    const start = group * groupSize;
    let largest = 0;
    for (let i = start; i < start + groupSize; i++) largest = Math.max(largest, Math.abs(values[i] ?? 0));
    const scale = largest / 127;
    scales[group] = scale;
    if (scale > 0) for (let i = start; i < start + groupSize; i++) bytes[i] = Math.round((values[i] ?? 0) / scale);
  }
  return { bytes, scales };
}
