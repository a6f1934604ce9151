import { describe, expect, test } from "vitest";
import { detectFeatures, selectVariant } from "../../runtime/features.ts";
import type { Variant } from "../../runtime/manifest.ts";
import { refusal } from "./support.ts";

const variant = (name: string, features: readonly string[], threads = false): Variant => ({
  name,
  module: `${name}.wasm`,
  features,
  threads,
  bytes: 1,
  sha256: "0".repeat(64),
});
const variants = [
  variant("simd128", ["simd128"]),
  variant("relaxed", ["simd128", "relaxed"]),
  variant("threads", ["simd128", "threads"], true),
];

test("this engine has fixed SIMD, and threads as every Node has", () => {
  expect([...detectFeatures()]).toEqual(expect.arrayContaining(["simd128", "threads"]));
});

describe("the variant that runs", () => {
  const choose = (features: readonly string[], wish = {}): string => selectVariant(variants, new Set(features), wish).name;

  test("is the one that uses most of the engine", () => {
    expect(choose(["simd128"])).toBe("simd128");
    expect(choose(["simd128", "relaxed", "threads"])).toBe("relaxed");
    expect(choose(["simd128", "relaxed", "threads"], { threads: 2 })).toBe("threads");
    expect(choose(["simd128", "relaxed"], { variant: "simd128" })).toBe("simd128");
  });

  test.each<readonly [readonly string[], object, string]>([
    [[], {}, "lacks simd128, relaxed"],
    [["simd128"], { variant: "relaxed" }, "needs relaxed"],
    [["simd128"], { variant: "avx2" }, '"avx2" is not in the artefact'],
    [["simd128"], { threads: 2 }, "lacks threads"],
    [["simd128"], { threads: 0 }, "0 is not a number of threads"],
  ])("engine with %j, wish %j: %s", async (features, wish, fact) => {
    const { code, message } = await refusal(() => choose(features, wish));
    expect(code).toBe("run/variant");
    expect(message).toContain(fact);
  });

  test("a module with 64-bit addresses is refused by engines without", async () => {
    const wide = [variant("simd128", ["simd128", "memory64"])];
    expect(selectVariant(wide, new Set(["simd128", "memory64"]), {}).name).toBe("simd128");
    const { code, message } = await refusal(() => selectVariant(wide, new Set(["simd128"]), {}));
    expect(code).toBe("run/variant");
    expect(message).toContain("lacks memory64");
  });

  test("an artefact without a threaded module says so", async () => {
    const { message } = await refusal(() => selectVariant(variants.slice(0, 2), new Set(["simd128"]), { threads: 4 }));
    expect(message).toContain("no variant runs several threads");
  });
});
