/**
 * The numeric contract's exponential for the sampler: the same constants and the same binary32 steps as the compiler's
 * (compiler/numeric/exp.ts, which explains them), written out because the runtime stands alone. A test holds the two bit-equal.
 */

const f = Math.fround;

const lowest = f(-104);
const highest = f(89);
const log2e = f(1.44269504088896341);
const ln2High = f(0.693359375);
const ln2Low = f(-2.1219444e-4);
const c0 = f(1.98756915e-4);
const c1 = f(1.3981999507e-3);
const c2 = f(8.3334519073e-3);
const c3 = f(4.1665795894e-2);
const c4 = f(1.6666665459e-1);
const c5 = f(5.0000001201e-1);
/** 1.5 * 2^23: adding it rounds to the nearest integer, ties to even. */
const roundingMagic = 12582912;

const bits = new Int32Array(1);
const float = new Float32Array(bits.buffer);

/** e^x of a binary32 x under the numeric contract; 0 below about -104. */
export function exp(x: number): number {
  const clamped = x < lowest ? lowest : x > highest ? highest : x;
  const n = f(f(f(clamped * log2e) + roundingMagic) - roundingMagic);
  const r = f(f(clamped - f(n * ln2High)) - f(n * ln2Low));
  let p = f(f(c0 * r) + c1);
  p = f(f(p * r) + c2);
  p = f(f(p * r) + c3);
  p = f(f(p * r) + c4);
  p = f(f(p * r) + c5);
  const y = f(f(f(p * f(r * r)) + r) + 1);
  const half = n >> 1;
  return f(f(y * powerOfTwo(half)) * powerOfTwo(n - half));
}

function powerOfTwo(n: number): number {
  bits[0] = (n + 127) << 23;
  return float[0] ?? 0;
}
