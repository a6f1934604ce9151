/** The core's size is a promise to everybody who downloads it. */
import { expect, test } from "vitest";
import { bundleSizes, coreBound } from "./size.ts";

test(`the core with its tokenizer has less than ${coreBound} bytes gzipped, and knows nothing of templates`, async () => {
  const [core, ...others] = await bundleSizes();
  expect(core?.file).toBe("runtime.js");
  expect(core?.gzipped).toBeLessThan(coreBound);
  expect(others.find(({ file }) => file === "chat.js")?.gzipped).toBeGreaterThan(10_000);
});
