/**
 * Rotary position embedding under the contract: position = 256 * high + low, and the angle's cosine and sine come from two small
 * tables by the addition theorem, so that a long context needs no table of its own length.
 */
import { power, sinCos } from "./trigonometry.ts";

const f = Math.fround;

/** Positions that share a row of the high table. */
export const ropeStride = 256;

/** Each table holds rows of `headSize / 2` cosines followed by `headSize / 2` sines. */
export interface RopeTables {
  /** Angles of positions 0 … 255: [256, headSize]. */
  readonly low: Float32Array;
  /** Angles of positions 0, 256, 512, …: [ceil(context / 256), headSize]. */
  readonly high: Float32Array;
}

/** Angle per position of each pair: base^(-2m / headSize), rounded to binary32 as the reference implementation has it. */
export function inverseFrequencies(headSize: number, base: number): Float32Array {
  return Float32Array.from({ length: headSize / 2 }, (_, m) => 1 / f(power(base, (2 * m) / headSize)));
}

export function ropeTables(headSize: number, base: number, context: number): RopeTables {
  const frequencies = inverseFrequencies(headSize, base);
  const rows = (count: number, stride: number): Float32Array => {
    const table = new Float32Array(count * headSize);
    for (let row = 0; row < count; row++) {
      frequencies.forEach((frequency, m) => {
        const { sin, cos } = sinCos(row * stride * frequency);
        table[row * headSize + m] = cos;
        table[row * headSize + headSize / 2 + m] = sin;
      });
    }
    return table;
  };
  return { low: rows(ropeStride, 1), high: rows(Math.ceil(context / ropeStride), ropeStride) };
}

/** cos and sin of pair m at a position: c = ch*cl - sh*sl, s = sh*cl + ch*sl, each step rounded. */
export function ropeAngle(tables: RopeTables, headSize: number, position: number, m: number): { cos: number; sin: number } {
  const half = headSize / 2;
  const low = (position % ropeStride) * headSize + m;
  const high = Math.floor(position / ropeStride) * headSize + m;
  const cl = tables.low[low] ?? NaN;
  const sl = tables.low[low + half] ?? NaN;
  const ch = tables.high[high] ?? NaN;
  const sh = tables.high[high + half] ?? NaN;
  return { cos: f(f(ch * cl) - f(sh * sl)), sin: f(f(sh * cl) + f(ch * sl)) };
}
