/**
 * The npm-shaped package round a module: beside the universal entry, one for edge workers, which may not compile code at run time and
 * import the module statically.
 */
import { internal } from "../../compiler/errors.ts";
import type { Manifest, Variant } from "../../runtime/manifest.ts";
import { commonFiles, factRows, usageExample } from "../package.ts";
import type { PackageFile, PackageInput } from "../target.ts";

/** All text files but the declarations, the manifest and the runtime's own. */
export function packageFiles(input: PackageInput): readonly PackageFile[] {
  const { manifest } = input;
  const [variant] = manifest.variants;
  return [
    ...commonFiles(input, { main: entries, parts: { "./worker": { types: "./worker.d.ts", default: "./worker.js" } } }),
    { path: "worker.js", text: workerEntry(variant ?? internal("no variants")) },
    { path: "README.md", text: readme(manifest) },
  ];
}

const entries = {
  types: "./index.d.ts",
  workerd: "./worker.js",
  deno: "./index.js",
  bun: "./index.js",
  node: "./index.js",
  browser: "./index.js",
  default: "./index.js",
};

function workerEntry({ name, module }: Variant): string {
  return `// For hosts that forbid compiling code at run time: the module is a static import, and the caller says where weights and tokenizer are.
import { load as loadArtefact } from "./runtime.js";
import manifest from "./manifest.json";
import module from "./${module}";
export * from "./runtime.js";
export const load = (options) => loadArtefact({ manifest, module, variant: "${name}", ...options });
`;
}

function readme(manifest: Manifest): string {
  const { name, model, memory } = manifest;
  return `# ${name}

An ${model.type} model of ${model.parameters} parameters, compiled to WebAssembly by lfmc. It needs no network, GPU or native addon.

${usageExample(manifest)}

| | |
|---|---|
${factRows(manifest)}
| memory | ${memory.bytes} bytes, fixed when the model was compiled |
`;
}
