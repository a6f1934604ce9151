/**
 * fold16: the contract's order of summation for reductions to one number. Lane i adds elements i, i+16, i+32, … in rising order,
 * starting at +0; then the 16 lanes are added as a tree: lane j takes lane j+8, then +4, +2, +1.
 */

const f = Math.fround;

/** Sum of `length` terms in fold16 order; `term(i)` is binary32. */
export function fold16(length: number, term: (index: number) => number): number {
  const lanes = new Float32Array(16);
  for (let i = 0; i < length; i++) lanes[i & 15] = f((lanes[i & 15] ?? 0) + term(i));
  for (const step of [8, 4, 2, 1]) {
    for (let j = 0; j < step; j++) lanes[j] = f((lanes[j] ?? 0) + (lanes[j + step] ?? 0));
  }
  return lanes[0] ?? 0;
}
