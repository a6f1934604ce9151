/**
 * The numeric contract's functions as kernel IR, for scalars and vectors alike: the same steps, in the same order, as
 * compiler/numeric takes, so the same bits.
 */
import { expConstants } from "../../numeric/exp.ts";
import { f16Max, f16MinNormal } from "../../numeric/half.ts";
import type { KernelBuilder } from "../builder.ts";
import { vector, type Value } from "../ir.ts";

const signBit = 0x8000;
const magnitudeBits = 0x7fff;
/** Where the bits of a signed f16 lie after a shift by 13: the copies of the sign between them left out. */
const signAndMagnitude = (1 << 31) | (magnitudeBits << 13);
/** f16 exponents are biased by 15, f32's by 127. */
const exponentShift = 112;

/** Nearest integer (ties to even) of |x| < 2^22, as i32. */
export function roundToInteger(b: KernelBuilder, x: Value): Value {
  return b.sub(bits(b, b.add(x, expConstants.roundingMagic)), expConstants.roundingMagicBits);
}

/** e^x; see numeric/exp. */
export function exponential(b: KernelBuilder, x: Value): Value {
  const c = expConstants;
  const clamped = b.min(b.max(x, c.lowest), c.highest);
  const shifted = b.add(b.mul(clamped, c.log2e), c.roundingMagic);
  const n = b.sub(shifted, c.roundingMagic);
  const r = b.sub(b.sub(clamped, b.mul(n, c.ln2High)), b.mul(n, c.ln2Low));
  const [first = 0, ...rest] = c.polynomial;
  const p = rest.reduce((sum, coefficient) => b.add(b.mul(sum, r), coefficient), b.literal(x.type, first));
  const y = b.add(b.add(b.mul(p, b.mul(r, r)), r), 1);
  const exponent = b.sub(bits(b, shifted), c.roundingMagicBits);
  const half = b.shrS(exponent, 1);
  return b.mul(b.mul(y, powerOfTwo(b, half)), powerOfTwo(b, b.sub(exponent, half)));
}

/** 1 / (1 + e^-x). */
export function sigmoid(b: KernelBuilder, x: Value): Value {
  return b.div(b.literal(x.type, 1), b.add(exponential(b, b.mul(x, -1)), 1));
}

/** x / (1 + e^-x). */
export function silu(b: KernelBuilder, x: Value): Value {
  return b.div(x, b.add(exponential(b, b.mul(x, -1)), 1));
}

/** The f32 of f16 bits that are no subnormal, by integer arithmetic: weight scales. The bits come as a signed 16-bit number. */
export function normalHalfToFloat(b: KernelBuilder, half: Value): Value {
  const moved = b.and(b.shl(half, 13), signAndMagnitude);
  return b.bitcast(b.add(moved, exponentShift << 23), floatLike(half));
}

/** The f32 of any finite f16 bits, which come as a signed i32: sign and magnitude's bits read as f32, times 2^112, which is exact. */
export function halfToFloat(b: KernelBuilder, half: Value): Value {
  return b.mul(b.bitcast(b.and(b.shl(half, 13), signAndMagnitude), floatLike(half)), 2 ** exponentShift);
}

/** The bits of the nearest f16 (ties to even, subnormals kept) of x clamped to ±65504; see numeric/half. */
export function floatToHalf(b: KernelBuilder, x: Value): Value {
  const magnitude = b.min(b.abs(x), f16Max);
  const raw = bits(b, magnitude);
  const odd = b.and(b.shrU(raw, 13), 1);
  const normal = b.sub(b.shrU(b.add(b.add(raw, 0xfff), odd), 13), exponentShift << 10);
  const subnormal = roundToInteger(b, b.mul(magnitude, 2 ** 24));
  const sign = b.and(b.shrU(bits(b, x), 16), signBit);
  return b.or(b.select(b.lt(magnitude, f16MinNormal), subnormal, normal), sign);
}

/** The larger of two i32. */
export function largerInteger(b: KernelBuilder, x: Value, y: Value): Value {
  return b.select(b.lt(x, y), y, x);
}

/** The smaller of two i32. */
export function smallerInteger(b: KernelBuilder, x: Value, y: Value): Value {
  return b.select(b.lt(x, y), x, y);
}

function powerOfTwo(b: KernelBuilder, exponent: Value): Value {
  return b.bitcast(b.shl(b.add(exponent, 127), 23), floatLike(exponent));
}

function bits(b: KernelBuilder, x: Value): Value {
  return b.bitcast(x, vector("i32", x.type.lanes));
}

function floatLike(x: Value): ReturnType<typeof vector> {
  return vector("f32", x.type.lanes);
}
