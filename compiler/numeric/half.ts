/**
 * IEEE binary16 and bfloat16, as bit patterns beside binary32. Conversions to 16 bits round to nearest, ties to even, and keep
 * subnormals; the KV cache's conversion also clamps to the largest finite half.
 */

const scratch = new DataView(new ArrayBuffer(4));

/** The bits of a binary32. */
export function bitsOfF32(x: number): number {
  scratch.setFloat32(0, x);
  return scratch.getUint32(0);
}

/** The binary32 with these bits. */
export function f32OfBits(bits: number): number {
  scratch.setUint32(0, bits >>> 0);
  return scratch.getFloat32(0);
}

/** Largest finite binary16. */
export const f16Max = 65504;
/** Smallest normal binary16, 2^-14. */
export const f16MinNormal = 2 ** -14;

/** binary16 bits to the number they stand for; exact. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Nearest binary16 (ties to even, subnormals kept) of a finite number clamped to ±65504; returns its bits. */
export function f32ToF16(x: number): number {
  const bits = bitsOfF32(x);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.min(Math.abs(x), f16Max);
  if (magnitude < f16MinNormal) return sign | roundHalfEven(magnitude * 2 ** 24);
  const clamped = bitsOfF32(magnitude);
  const rounded = clamped + 0xfff + ((clamped >>> 13) & 1);
  return sign | ((rounded >>> 13) - (112 << 10));
}

/** bfloat16 bits to the number they stand for; exact. */
export function bf16ToF32(bits: number): number {
  return f32OfBits(bits << 16);
}

/** Nearest bfloat16 of a finite number, ties to even; returns its bits. */
export function f32ToBf16(x: number): number {
  const bits = bitsOfF32(x);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Nearest integer, ties to even. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
