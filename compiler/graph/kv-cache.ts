/**
 * How the cache of attention keeps keys and values: what is read back of a row is the row as rounded here, when it was appended.
 * Each head is kept by itself, so that no head's numbers depend on another's.
 */
import { f16ToF32, f32ToF16 } from "../numeric/half.ts";
import { groupSize, quantizeGroup } from "../numeric/quantize.ts";

export const kvFormats = ["f32", "f16", "q8_0"] as const;
export type KvFormat = (typeof kvFormats)[number];

/** The numbers that are read back of a row [heads * headSize]. */
type Rounding = (row: Float32Array, headSize: number) => Float32Array;

export const kvRoundings: Readonly<Record<KvFormat, Rounding>> = {
  f32: (row) => row,
  // Nearest-even, subnormals kept, clamped to the largest finite half.
  f16: (row) => row.map((x) => f16ToF32(f32ToF16(x))),
  q8_0: quantizedHeads,
};

/** Groups of 32 along each head, the last one maybe shorter, quantised like activations (numeric/quantize) and read back as d * q. */
function quantizedHeads(row: Float32Array, headSize: number): Float32Array {
  const out = new Float32Array(row.length);
  for (let head = 0; head < row.length; head += headSize) {
    for (let start = head; start < head + headSize; start += groupSize) {
      const values = row.subarray(start, Math.min(start + groupSize, head + headSize));
      const q = new Int8Array(groupSize);
      const { scale } = quantizeGroup(values, q);
      for (let i = 0; i < values.length; i++) out[start + i] = scale * (q[i] ?? 0);
    }
  }
  return out;
}
