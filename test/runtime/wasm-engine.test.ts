/** Memories of both widths: of the planned size, fit for their modules, and refused by name where the host has not got that much. */
import { afterEach, expect, test, vi } from "vitest";
import wabtInit from "wabt";
import { detectFeatures } from "../../runtime/features.ts";
import type { Manifest } from "../../runtime/manifest.ts";
import { createMemory, newMemory } from "../../runtime/wasm-engine.ts";
import { fakeManifest, refusal } from "./support.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const widths = [
  { name: "32-bit", features: ["simd128"], type: "" },
  { name: "64-bit", features: ["simd128", "memory64"], type: "i64" },
] as const;

/** A module that takes a memory of exactly three pages and of that width. */
async function importer(type: string): Promise<WebAssembly.Module> {
  const wabt = await wabtInit();
  const parsed = wabt.parseWat("x.wat", `(module (import "env" "memory" (memory ${type} 3 3)))`, { memory64: true });
  return await WebAssembly.compile(Uint8Array.from(parsed.toBinary({}).buffer));
}

test.for(widths)("a $name memory has the planned pages and links with modules of its width alone", async ({ features, type }, context) => {
  if (!detectFeatures().has("memory64")) context.skip("this engine lacks memory64");
  const memory = newMemory(3, features);
  expect(memory.buffer.byteLength).toBe(3 * 65536);
  for (const each of widths) {
    const module = await importer(each.type);
    const link = (): unknown => new WebAssembly.Instance(module, { env: { memory } });
    if (each.type === type) link();
    else expect(link).toThrow(WebAssembly.LinkError);
  }
});

test.each(widths)("a $name memory that the host does not give is refused", async ({ features }) => {
  const manifest: Manifest = fakeManifest();
  const [variant] = manifest.variants;
  if (!variant) throw new Error("no variant");
  vi.spyOn(WebAssembly, "Memory").mockImplementation(function () {
    throw new RangeError("could not allocate memory");
  });
  const { code, message } = await refusal(() => createMemory(manifest, { ...variant, features }, 1));
  expect(code).toBe("run/memory");
  expect(message).toContain(String(manifest.memory.bytes));
});
