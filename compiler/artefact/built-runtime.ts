/** Where the built runtime is, which every artefact carries: beside the compiled compiler, or in `dist/` where the compiler runs from source. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Manifest } from "../../runtime/manifest.ts";
import { LfmcError } from "../errors.ts";

/** The folder of the built runtime's scripts. Throws io/missing. */
export async function builtRuntime(): Promise<string> {
  const compiler = join(dirname(fileURLToPath(import.meta.url)), "..");
  for (const dist of [join(compiler, ".."), join(compiler, "..", "dist")]) {
    const isBuilt = await stat(join(dist, "runtime.js")).then(
      () => true,
      () => false,
    );
    if (isBuilt) return dist;
  }
  throw new LfmcError("io/missing", "is not built", { subject: "dist/runtime.js", hint: "run npm run build" });
}

/** The bundles that an artefact carries: names there, and names where they are built. */
export function runtimeBundles({ target, variants }: Manifest): ReadonlyMap<string, string> {
  const isModule = target === "wasm-simd";
  const hasThreads = isModule && variants.some(({ threads }) => threads);
  const others = ["chat.js", "json-schema.js", ...(hasThreads ? ["thread.js"] : [])];
  return new Map([["runtime.js", isModule ? "runtime.js" : "library.js"], ...others.map((name) => [name, name] as const)]);
}
