/** binary16 and bfloat16: every pattern there and back, rounding by comparison with the neighbours. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bf16ToF32, bitsOfF32, f16Max, f16ToF32, f32OfBits, f32ToBf16, f32ToF16, roundHalfEven } from "../../compiler/numeric/half.ts";

const finiteHalves = Array.from({ length: 0x10000 }, (_, bits) => bits).filter((bits) => (bits & 0x7c00) !== 0x7c00);
const anyFloat = fc.integer({ min: 0, max: 0xffffffff }).map(f32OfBits).filter(Number.isFinite);

describe("binary16", () => {
  test("every finite pattern comes back", () => {
    expect(finiteHalves.filter((bits) => f32ToF16(f16ToF32(bits)) !== bits)).toEqual([]);
  });

  test("patterns mean what IEEE says", () => {
    expect(f16ToF32(0x3c00)).toBe(1);
    expect(f16ToF32(0xc000)).toBe(-2);
    expect(f16ToF32(0x0001)).toBe(2 ** -24);
    expect(f16ToF32(0x0400)).toBe(2 ** -14);
    expect(f16ToF32(0x7bff)).toBe(65504);
    expect(f16ToF32(0x8000)).toBe(-0);
    expect(f16ToF32(0x7c00)).toBe(Infinity);
    expect(f16ToF32(0x7e00)).toBeNaN();
  });

  test("ties go to the even neighbour, subnormals included", () => {
    const wrong = finiteHalves.filter((bits) => {
      if (bits >= 0x7bff) return false;
      const middle = (f16ToF32(bits) + f16ToF32(bits + 1)) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      return f32ToF16(middle) !== even || f32ToF16(-middle) !== (even | 0x8000);
    });
    expect(wrong).toEqual([]);
  });

  test("numbers just off a tie go to the nearer neighbour", () => {
    for (let bits = 0; bits < 0x7bff; bits += 7) {
      const middle = bitsOfF32((f16ToF32(bits) + f16ToF32(bits + 1)) / 2);
      expect(f32ToF16(f32OfBits(middle - 1))).toBe(bits);
      expect(f32ToF16(f32OfBits(middle + 1))).toBe(bits + 1);
    }
  });

  test("clamps to the largest finite number", () => {
    for (const x of [65504, 65519.99, 65520, 1e6, 3.4e38, Infinity]) {
      expect(f16ToF32(f32ToF16(x))).toBe(f16Max);
      expect(f16ToF32(f32ToF16(-x))).toBe(-f16Max);
    }
  });
});

describe("bfloat16", () => {
  test("every finite pattern comes back", () => {
    const finite = Array.from({ length: 0x10000 }, (_, bits) => bits).filter((bits) => (bits & 0x7f80) !== 0x7f80);
    expect(finite.filter((bits) => f32ToBf16(bf16ToF32(bits)) !== bits)).toEqual([]);
  });

  test("rounds to the nearest, ties to even", () => {
    const below = 0x7f7f0000;
    fc.assert(
      fc.property(anyFloat, (x) => {
        fc.pre((bitsOfF32(x) & 0x7fffffff) < below);
        const truncated = bitsOfF32(x) >>> 16;
        const [low, high] = [bf16ToF32(truncated), bf16ToF32(truncated + 1)];
        const [toLow, toHigh] = [Math.abs(x - low), Math.abs(high - x)];
        const nearest = toLow < toHigh || (toLow === toHigh && truncated % 2 === 0) ? truncated : truncated + 1;
        expect(f32ToBf16(x)).toBe(nearest);
      }),
      { numRuns: 2000 },
    );
  });
});

test("roundHalfEven", () => {
  expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49, 0.51, -0.51].map((x) => roundHalfEven(x) + 0)).toEqual([-2, -2, 0, 0, 2, 2, 0, 1, -1]);
});
