/**
 * Bulk conversion of stored elements to f32, by moving bits: hundreds of millions of weights pass through here. Each function fills
 * `target`, the bits of binary32, and returns the index of the first element that is not finite, or -1.
 */
import { bitsOfF32, f16ToF32 } from "../numeric/half.ts";

/** bfloat16: the upper half of a binary32. */
export function decodeBf16(source: Uint16Array, target: Uint32Array): number {
  let bad = 0;
  for (let i = 0; i < target.length; i++) {
    const bits = source[i] ?? 0;
    bad |= (bits & 0x7f80) === 0x7f80 ? 1 : 0;
    target[i] = bits << 16;
  }
  return bad === 0 ? -1 : firstNotFinite(target);
}

/** binary16: a normal half is its bits shifted, with the exponent's bias raised by 112. */
export function decodeF16(source: Uint16Array, target: Uint32Array): number {
  let bad = 0;
  for (let i = 0; i < target.length; i++) {
    const bits = source[i] ?? 0;
    const exponent = bits & 0x7c00;
    if (exponent === 0) {
      target[i] = bitsOfF32(f16ToF32(bits));
    } else {
      bad |= exponent === 0x7c00 ? 1 : 0;
      target[i] = ((bits & 0x8000) << 16) | (((bits & 0x7fff) << 13) + (exponent === 0x7c00 ? 0x70000000 : 0x38000000));
    }
  }
  return bad === 0 ? -1 : firstNotFinite(target);
}

/** The first element with an exponent of all ones, or -1. */
export function firstNotFinite(bits: Uint32Array): number {
  for (let i = 0; i < bits.length; i++) if (((bits[i] ?? 0) & 0x7f800000) === 0x7f800000) return i;
  return -1;
}
