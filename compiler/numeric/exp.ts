/**
 * The contract's exponential: one range reduction and one polynomial, every step rounded to binary32, so that every target can
 * repeat it. At most 2 ulp from the true value (test/numeric), exp(0) = 1 exactly, 0 below about -104, infinity above about 88.72.
 *
 * e^x = 2^n * e^r with n = nearest(x / ln 2) and r = x - n ln 2, |r| <= ln 2 / 2. ln 2 is split in two (Cody and Waite, 1980) so
 * that n * ln2High is exact. The polynomial's coefficients are those of Cephes' expf (Moshier).
 */
import { f32OfBits } from "./half.ts";

const f = Math.fround;

/** Shared with the kernel library, which records the same steps as kernel IR. */
export const expConstants = {
  lowest: f(-104),
  highest: f(89),
  log2e: f(1.44269504088896341),
  ln2High: f(0.693359375),
  ln2Low: f(-2.1219444e-4),
  /** Highest power first: ((((c0 r + c1) r + c2) r + c3) r + c4) r + c5. */
  polynomial: [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1].map(f),
  /** 1.5 * 2^23: adding it to |x| < 2^22 rounds x to the nearest integer (ties to even), which then is the sum's low bits. */
  roundingMagic: 12582912,
  roundingMagicBits: 0x4b400000,
} as const;

/** e^x of a binary32 x under the numeric contract. */
export function exp(x: number): number {
  const c = expConstants;
  const clamped = x < c.lowest ? c.lowest : x > c.highest ? c.highest : x;
  const n = f(f(f(clamped * c.log2e) + c.roundingMagic) - c.roundingMagic);
  const r = f(f(clamped - f(n * c.ln2High)) - f(n * c.ln2Low));
  let p = 0;
  for (const coefficient of c.polynomial) p = f(f(p * r) + coefficient);
  const y = f(f(f(p * f(r * r)) + r) + 1);
  // Two factors, because 2^n alone leaves the exponent's range at both ends (n from -150 to 128).
  const half = n >> 1;
  return f(f(y * powerOfTwo(half)) * powerOfTwo(n - half));
}

/** 1 / (1 + e^-x). */
export function sigmoid(x: number): number {
  return f(1 / f(1 + exp(-x)));
}

/** x / (1 + e^-x). */
export function silu(x: number): number {
  return f(x / f(1 + exp(-x)));
}

function powerOfTwo(n: number): number {
  return f32OfBits((n + 127) << 23);
}
