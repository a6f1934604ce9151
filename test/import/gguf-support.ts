/** GGUF files written by hand, so that a test can lie in any field of them. */
import { blockTypeNamed, rowBytes } from "../../compiler/import/gguf/blocks.ts";
import { valueTypes } from "../../compiler/import/gguf/scan.ts";

type ValueType = keyof typeof valueTypes;

/** A value with the type that its bytes have; of an array, the type of its items. */
export type Value =
  | { readonly type: Exclude<ValueType, "array">; readonly value: number | bigint | string }
  | { readonly type: "array"; readonly items: Exclude<ValueType, "array">; readonly value: readonly (number | bigint | string)[] };

export interface TensorPart {
  readonly name: string | Uint8Array;
  /** As the file lists them: innermost first. */
  readonly dims: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number | bigint;
}

export interface GgufParts {
  readonly metadata: readonly (readonly [key: string, value: Value | Uint8Array])[];
  readonly tensors: readonly TensorPart[];
  readonly data: Uint8Array;
}

/** What the fields of the header say where that is not the truth. */
export interface Lies {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: bigint;
  readonly keyCount?: bigint;
  readonly alignment?: number;
}

export const u32 = (value: number): Value => ({ type: "u32", value });
export const f32 = (value: number): Value => ({ type: "f32", value });
export const bool = (value: boolean): Value => ({ type: "bool", value: Number(value) });
export const text = (value: string): Value => ({ type: "string", value });
export const i32s = (value: readonly number[]): Value => ({ type: "array", items: "i32", value });
export const texts = (value: readonly string[]): Value => ({ type: "array", items: "string", value });

/** The file of these parts. */
export function ggufFile({ metadata, tensors, data }: GgufParts, lies: Lies = {}): Uint8Array {
  const header = Buffer.concat([
    Buffer.from(lies.magic ?? "GGUF"),
    scalar("u32", lies.version ?? 3),
    scalar("u64", lies.tensorCount ?? BigInt(tensors.length)),
    scalar("u64", lies.keyCount ?? BigInt(metadata.length)),
    ...metadata.flatMap(([key, value]) => [scalar("string", key), value instanceof Uint8Array ? value : typed(value)]),
    ...tensors.flatMap(({ name, dims, type, offset }) => [
      name instanceof Uint8Array ? name : scalar("string", name),
      scalar("u32", dims.length),
      ...dims.map((size) => scalar("u64", BigInt(size))),
      scalar("u32", type),
      scalar("u64", BigInt(offset)),
    ]),
  ]);
  const alignment = lies.alignment ?? 32;
  return new Uint8Array(Buffer.concat([header, Buffer.alloc(-header.length & (alignment - 1)), data]));
}

/** The bytes of a value with its type before it. */
export function typed(value: Value): Uint8Array {
  const head = scalar("u32", valueTypes[value.type]);
  if (value.type !== "array") return Buffer.concat([head, scalar(value.type, value.value)]);
  return Buffer.concat([
    head,
    scalar("u32", valueTypes[value.items]),
    scalar("u64", BigInt(value.value.length)),
    ...value.value.map((item) => scalar(value.items, item)),
  ]);
}

/** The bytes of one value. */
export function scalar(type: Exclude<ValueType, "array">, value: number | bigint | string): Buffer {
  if (type === "string") return Buffer.concat([scalar("u64", BigInt(Buffer.byteLength(String(value)))), Buffer.from(String(value))]);
  const view = new DataView(new ArrayBuffer(8));
  const [number, whole] = [Number(value), typeof value === "bigint" ? value : 0n];
  const lengths = { u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 };
  switch (type) {
    case "u64":
    case "i64":
      view.setBigUint64(0, whole, true);
      break;
    case "f32":
      view.setFloat32(0, number, true);
      break;
    case "f64":
      view.setFloat64(0, number, true);
      break;
    default:
      view.setUint32(0, number, true);
  }
  return Buffer.from(view.buffer, 0, lengths[type]);
}

/** What its metadata say, but for the tokenizer. */
export const modelMetadata: readonly (readonly [string, Value])[] = [
  ["general.architecture", text("lfm2")],
  ["lfm2.block_count", u32(1)],
  ["lfm2.context_length", u32(64)],
  ["lfm2.embedding_length", u32(256)],
  ["lfm2.feed_forward_length", u32(256)],
  ["lfm2.attention.head_count", u32(2)],
  ["lfm2.attention.head_count_kv", i32s([2])],
  ["lfm2.attention.layer_norm_rms_epsilon", f32(1e-5)],
  ["lfm2.rope.freq_base", f32(1e6)],
];

/** A dense model of one layer, 256 wide: zeros in F32, and a gate in `type` that begins with `blocks`. */
export function oneLayerModel(
  type: string,
  blocks: Uint8Array,
  vocabulary: readonly (readonly [string, Value])[] = [],
  tokens = 16,
): GgufParts {
  const width = 256;
  const row = blockTypeNamed(type);
  if (!row) throw new Error(type);
  const floats = (name: string, ...dims: readonly number[]) => ({
    name,
    dims,
    type: 0,
    bytes: new Uint8Array(4 * dims.reduce((a, b) => a * b)),
  });
  const gate = new Uint8Array(rowBytes(row, width) * width);
  gate.set(blocks);
  const all = [
    floats("token_embd.weight", width, tokens),
    floats("token_embd_norm.weight", width),
    ...["attn_norm", "ffn_norm"].map((name) => floats(`blk.0.${name}.weight`, width)),
    ...["attn_q_norm", "attn_k_norm"].map((name) => floats(`blk.0.${name}.weight`, width / 2)),
    ...["attn_q", "attn_k", "attn_v", "attn_output", "ffn_down", "ffn_up"].map((name) => floats(`blk.0.${name}.weight`, width, width)),
    { name: "blk.0.ffn_gate.weight", dims: [width, width], type: row.id, bytes: gate },
  ];
  const tensors: TensorPart[] = [];
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (const { bytes, ...tensor } of all) {
    tensors.push({ ...tensor, offset });
    pieces.push(bytes, new Uint8Array(-bytes.length & 31));
    offset += bytes.length + (-bytes.length & 31);
  }
  return { metadata: [...modelMetadata, ...vocabulary], tensors, data: Buffer.concat(pieces) };
}
