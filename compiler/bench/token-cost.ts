/**
 * What a token costs whatever the code does: bytes that decoding it must read, and multiplications that reading it as part of a prompt
 * takes. From the manifest alone, by the names of the checkpoint's tensors. Of a layer's experts only those that a token goes through count.
 */
import type { Manifest, PackedTensor } from "../../runtime/manifest.ts";
import { groupSize } from "../numeric/quantize.ts";

export interface TokenCost {
  /** Weights that one decoded token reads, in bytes as packed: all but a table that only rows are gathered from, and other tokens' experts. */
  readonly weightBytes: number;
  /** Keys and values of one position, of all layers. */
  readonly cacheBytesPerPosition: number;
  /** Recent rows that the short convolutions read. */
  readonly ringBytes: number;
  /** Multiply-adds of one row in all matrices but the head. */
  readonly layerMacs: number;
  /** Multiply-adds of one row in the head. */
  readonly headMacs: number;
}

/** Bytes of one cached number; 8-bit ones share an f32 scale among 32. */
const cachedBytes = { f32: 4, f16: 2, q8_0: 1 + 4 / groupSize } as const;
const tapsName = ".conv.conv";
const embeddingName = "model.embed_tokens";
const headName = "lm_head";

/** What of a manifest the cost follows from. */
export interface CostFacts extends Pick<Manifest, "tensors" | "quantization"> {
  readonly model: Pick<Manifest["model"], "experts">;
}

export function tokenCost({ model, tensors, quantization }: CostFacts): TokenCost {
  // What has no source is a table of RoPE's, of which a token takes two rows.
  const weights = tensors.filter(({ sources }) => sources.length > 0);
  const head = weights.find(({ name }) => name === headName) ?? weights.find(({ name }) => name === embeddingName);
  const taps = weights.filter(({ name }) => name.endsWith(tapsName));
  const read = weights.filter((tensor) => tensor === head || tensor.name !== embeddingName);
  const matrices = read.filter((tensor) => tensor !== head && tensor.shape.length >= 2 && !taps.includes(tensor));
  const { perToken, count } = model.experts ?? { perToken: 1, count: 1 };
  /** The part of a tensor that a token needs: experts are the only ones of three axes. */
  const partOf = ({ shape }: PackedTensor): number => (shape.length === 3 ? perToken / count : 1);
  return {
    weightBytes: sum(read, (tensor) => tensor.bytes * partOf(tensor)),
    cacheBytesPerPosition: cachedElements(matrices) * cachedBytes[quantization.kv],
    ringBytes: sum(taps, ({ shape: [channels = 0, width = 1] }) => channels * (width - 1) * 4),
    layerMacs: sum(matrices, (tensor) => elements(tensor) * partOf(tensor)),
    headMacs: head ? elements(head) : 0,
  };
}

/** Bytes read to decode a token that attends to `positions` positions: weights once, keys and values of each position, rings. */
export function decodeBytes(cost: TokenCost, positions: number): number {
  return cost.weightBytes + cost.cacheBytesPerPosition * positions + cost.ringBytes;
}

/** Multiply-adds a token in matrices while a prompt of `length` is read, whose last token alone passes the head. */
export function prefillMacs(cost: TokenCost, length: number): number {
  return cost.layerMacs + cost.headMacs / length;
}

/** Rows of all key and value projections: those of the q, k and v matrices, however stacked, less q's, which are the columns of out_proj. */
function cachedElements(matrices: readonly PackedTensor[]): number {
  const projections = matrices.filter(({ sources }) => sources.some((source) => /\.self_attn\.[qkv]_proj\./.test(source)));
  const outputs = matrices.filter(({ sources }) => sources.some((source) => source.includes(".self_attn.out_proj.")));
  return sum(projections, ({ shape: [rows = 0] }) => rows) - sum(outputs, ({ shape: [, columns = 0] }) => columns);
}

function elements({ shape }: PackedTensor): number {
  return shape.reduce((product, size) => product * size, 1);
}

function sum<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((total, item) => total + figure(item), 0);
}
