/** The contract's exponential against binary64: at most 2 ulp everywhere, subnormal results included. */
import { describe, expect, test } from "vitest";
import { exp, sigmoid, silu } from "../../compiler/numeric/exp.ts";
import { bitsOfF32, f32OfBits } from "../../compiler/numeric/half.ts";

const f = Math.fround;

/** The distance between neighbouring binary32 numbers at x: that of the subnormals below 2^-126. */
function ulp(x: number): number {
  const exponent = Math.max((bitsOfF32(f(x)) >>> 23) & 255, 1);
  return 2 ** (exponent - 127 - 23);
}

/** Largest error of exp in ulp over binary32 numbers from `from` to `to`, `steps` of them. */
function largestError(from: number, to: number, steps: number): number {
  let worst = 0;
  for (let i = 0; i <= steps; i++) {
    const x = f(from + ((to - from) * i) / steps);
    const exact = Math.exp(x);
    worst = Math.max(worst, Math.abs(exp(x) - exact) / ulp(exact));
  }
  return worst;
}

describe("exp", () => {
  test("is 1 at both zeros", () => {
    expect(exp(0)).toBe(1);
    expect(exp(-0)).toBe(1);
  });

  test.each([
    { what: "normal results", from: -87.3, to: 88.7 },
    { what: "subnormal results", from: -103.9, to: -87.3 },
    { what: "arguments near 0", from: -1e-3, to: 1e-3 },
    { what: "one reduced range", from: -0.35, to: 0.35 },
  ])("is within 2 ulp for $what", ({ from, to }) => {
    expect(largestError(from, to, 400_000)).toBeLessThanOrEqual(2);
  });

  test("is within 2 ulp on both sides of every change of the power of two", () => {
    let worst = 0;
    for (let n = -149; n <= 127; n++) {
      const bits = bitsOfF32(f((n + 0.5) * Math.LN2));
      for (let offset = -40; offset <= 40; offset++) {
        const x = f32OfBits(bits + offset);
        const exact = Math.exp(x);
        worst = Math.max(worst, Math.abs(exp(x) - exact) / ulp(exact));
      }
    }
    expect(worst).toBeLessThanOrEqual(2);
  });

  test("keeps to its ends", () => {
    expect(exp(-104)).toBe(0);
    expect(exp(-1e30)).toBe(0);
    expect(exp(-Infinity)).toBe(0);
    expect(exp(88.75)).toBe(Infinity);
    expect(exp(1e30)).toBe(Infinity);
    expect(exp(f(88.722))).toBeLessThan(Infinity);
  });

  test("gives binary32 numbers", () => {
    for (let x = -110; x < 90; x += 0.37) expect(exp(f(x))).toBe(f(exp(f(x))));
  });
});

test("sigmoid and silu are finite and right at both ends", () => {
  expect(sigmoid(0)).toBe(0.5);
  expect(sigmoid(200)).toBe(1);
  expect(sigmoid(-200)).toBe(0);
  expect(silu(200)).toBe(200);
  expect(silu(-200)).toBe(-0);
  for (let x = -80; x < 80; x += 0.13) {
    const exact = 1 / (1 + Math.exp(-f(x)));
    expect(Math.abs(sigmoid(f(x)) - exact) / exact).toBeLessThan(4e-7);
    expect(Math.abs(silu(f(x)) - f(x) * exact)).toBeLessThanOrEqual(4e-7 * Math.abs(f(x) * exact));
  }
});

test("exp's bits are pinned: a change of one would change every model's results", () => {
  let checksum = 0;
  for (let i = 0; i < 200_000; i++) checksum = (Math.imul(checksum, 31) + bitsOfF32(exp(f(-104 + i * 0.00096)))) | 0;
  expect(checksum).toBe(-1859699141);
});
