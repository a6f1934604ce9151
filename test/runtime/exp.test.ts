import { expect, test } from "vitest";
import { exp as contractExp } from "../../compiler/numeric/exp.ts";
import { exp } from "../../runtime/exp.ts";

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

function floatOfBits(word: number): number {
  bits[0] = word;
  return float[0] ?? NaN;
}

test("the sampler's exp has the bits of the compiler's over all finite exponents and signs", () => {
  const wrong: number[] = [];
  for (let word = 0; word < 2 ** 32; word += 40_503) {
    const x = floatOfBits(word);
    if (Number.isFinite(x) && !Object.is(exp(x), contractExp(x))) wrong.push(x);
  }
  expect(wrong).toEqual([]);
});

test("and over the range that sampling uses", () => {
  const wrong: number[] = [];
  for (let i = 0; i <= 110_000; i++) {
    const x = Math.fround(-i / 1000);
    if (!Object.is(exp(x), contractExp(x))) wrong.push(x);
  }
  expect(wrong).toEqual([]);
  expect(exp(0)).toBe(1);
  expect(exp(-200)).toBe(0);
});
