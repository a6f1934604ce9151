/** C text: comments hold no surprises, literals mean their bits, long calls are broken. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { floatLiteral, intLiteral, laneLiteral } from "../../targets/c/literals.ts";
import { functionSymbol, Names } from "../../targets/c/names.ts";
import { symbolOf, withPrefix } from "../../targets/c/project.ts";
import { comment } from "../../targets/c/writer.ts";

test("a comment ends where it should, whatever it says", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("*", "/", "?", "a", "\n", "\\", "ü", " ") }), (text) => {
      const written = comment(text);
      expect(written.slice(2, -2)).not.toMatch(/\*\/|\/\*|\?\?|[^\x20-\x7e]/);
      expect(written).toMatch(/^\/\* .* \*\/$/);
    }),
  );
});

test("a float's literal is read back as the same bits", () => {
  const bits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0;
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (x) => {
      const text = floatLiteral(x);
      expect(text).toMatch(/^-?\d+(\.\d+)?(e[+-]?\d+)?f$/);
      expect(text).toMatch(/[.e]/);
      expect(bits(Math.fround(Number(text.slice(0, -1))))).toBe(bits(x));
    }),
    { numRuns: 2000 },
  );
  expect([Infinity, -Infinity, -0, 1].map(floatLiteral)).toEqual(["INFINITY", "-INFINITY", "-0.0f", "1.0f"]);
});

test("integers keep to what C can write", () => {
  expect(intLiteral(-(2 ** 31))).toBe("INT32_MIN");
  expect(laneLiteral("i8", 0x80)).toBe("-128");
  expect(laneLiteral("i16", 65535)).toBe("-1");
});

test("names are never C's own, nor given twice", () => {
  expect(functionSymbol("double")).toBe("double_kernel");
  const names = new Names(["rows"]);
  expect([names.fresh("rows"), names.fresh("int"), names.numbered("sum"), names.numbered("sum")]).toEqual([
    "rows2",
    "int_",
    "sum0",
    "sum1",
  ]);
});

test("every name of a model becomes a prefix of C names", () => {
  expect(symbolOf("LFM2.5-1.2B")).toBe("lfm2_5_1_2b");
  expect(withPrefix('#include "lfm_internal.h"\nlfm_run(LFM_OK); alfm_x', "a-b")).toBe(
    '#include "a-b_internal.h"\nlfm_a_b_run(LFM_A_B_OK); alfm_x',
  );
});
