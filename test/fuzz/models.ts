/** Small models that fuzz targets start from. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { importModel } from "../../compiler/import/model.ts";
import { rowShape } from "../../compiler/import/weight-store.ts";
import { writeBase } from "./files.ts";

const goldenFolder = fileURLToPath(new URL("../golden/data/", import.meta.url));

/** The text of a file of the golden data. */
export async function goldenText(...path: readonly string[]): Promise<string> {
  return await readFile(join(goldenFolder, ...path), "utf8");
}

/** The path of a file of the golden data. */
export function goldenPath(...path: readonly string[]): string {
  return join(goldenFolder, ...path);
}

/** A model of two layers, one of each kind, in some 100 KB of f32. */
export const smallConfig = {
  architectures: ["Lfm2ForCausalLM"],
  model_type: "lfm2",
  dtype: "float32",
  vocab_size: 320,
  hidden_size: 32,
  num_hidden_layers: 2,
  layer_types: ["conv", "full_attention"],
  num_attention_heads: 4,
  num_key_value_heads: 2,
  conv_L_cache: 3,
  conv_bias: false,
  intermediate_size: 64,
  block_auto_adjust_ff_dim: false,
  norm_eps: 1e-5,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  max_position_embeddings: 128,
  bos_token_id: 1,
  eos_token_id: 7,
  pad_token_id: 0,
};

export const smallGeneration = {
  bos_token_id: 1,
  eos_token_id: [7, 2],
  pad_token_id: 0,
  do_sample: true,
  temperature: 0.3,
  top_k: 50,
  min_p: 0.15,
};

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The small model's weights, by its generator; `base` is for a file that is needed to ask for them. */
export async function smallTensors(base: string): Promise<readonly NamedTensor[]> {
  await writeBase(base, { "asked/config.json": JSON.stringify(smallConfig) });
  const { store } = await importModel(join(base, "asked"), { randomWeights: 1 });
  const tensors: NamedTensor[] = [];
  for (const { name, shape } of store.tensors.values())
    tensors.push({ name, shape, values: await store.readRows(name, 0, rowShape(shape).rows) });
  return tensors;
}

/** A safetensors file of these tensors. */
export function safetensorsOf(tensors: readonly NamedTensor[], dtype: "F32" | "BF16"): Uint8Array {
  let end = 0;
  const header = tensors.map(({ name, shape, values }) => {
    const begin = end;
    end += values.length * (dtype === "F32" ? 4 : 2);
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const;
  });
  const text = new TextEncoder().encode(JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(header) }));
  const data = tensors.map(({ values }) => {
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    return dtype === "F32" ? words : Uint16Array.from(words, (word) => word >>> 16);
  });
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(text.length), true);
  return Buffer.concat([prefix, text, ...data.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength))]);
}

/** A byte-level BPE tokenizer in the manner of LFM2's: the 256 bytes, a few merges, special tokens in front. */
export function smallTokenizer(): Readonly<Record<string, unknown>> {
  const specials = ["<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|a|>", "<|b|>", "<|c|>", "<|im_start|>", "<|im_end|>"];
  const letters = [...byteLetters()];
  const merges = ["t h", "th e", "Ġ t", "Ġ a", "i n", "q u", "e r", "Ġt he", "b r", "o w"];
  const tokens = [...specials, ...letters, ...merges.map((merge) => merge.replace(" ", ""))];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: splitPattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|startoftext|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<|startoftext|>": { id: "<|startoftext|>", ids: [1], tokens: ["<|startoftext|>"] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** LFM2's own. */
export const splitPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The letters that stand for the 256 bytes in byte-level tokenizers. */
function* byteLetters(): Generator<string> {
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
    yield String.fromCharCode(printable ? byte : next++);
  }
}
