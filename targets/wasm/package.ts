/**
 * The npm-shaped package round a module: entry points and package.json. One universal entry serves Node, Deno, Bun and pages
 * (it finds its files beside itself); edge workers, which may not compile code at run time, import the module statically.
 */
import type { Manifest } from "../../runtime/manifest.ts";

/** A text file of the package. */
export interface PackageFile {
  readonly path: string;
  readonly text: string;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** All text files but the declarations and the runtime's own. `license` names the licence file taken along, if any. */
export function packageFiles(manifest: Manifest, { license }: { readonly license: string | null }): readonly PackageFile[] {
  const [variant] = manifest.variants;
  return [
    { path: "package.json", text: json(packageJson(manifest, license)) },
    { path: "manifest.json", text: json(manifest) },
    { path: "index.js", text: universalEntry },
    { path: "worker.js", text: workerEntry(variant?.module ?? "") },
    { path: "README.md", text: readme(manifest) },
  ];
}

function packageJson(manifest: Manifest, license: string | null): unknown {
  return {
    name: manifest.name.toLowerCase(),
    version: "1.0.0",
    description: `${manifest.model.type} model, ${manifest.model.parameters} parameters, compiled by lfmc ${manifest.lfmc}`,
    type: "module",
    license: license === null ? "UNLICENSED" : `SEE LICENSE IN ${license}`,
    // Weights are seldom free to republish: publishing takes a decision.
    private: true,
    sideEffects: false,
    types: "./index.d.ts",
    exports: {
      ".": {
        types: "./index.d.ts",
        workerd: "./worker.js",
        deno: "./index.js",
        bun: "./index.js",
        node: "./index.js",
        browser: "./index.js",
        default: "./index.js",
      },
      "./worker": { types: "./worker.d.ts", default: "./worker.js" },
      "./*": "./*",
    },
  };
}

const universalEntry = `// Loads the model from the files beside this one.
import { load as loadArtefact } from "./runtime.js";
export * from "./runtime.js";
export const load = (options = {}) => loadArtefact({ base: new URL("./", import.meta.url), ...options });
`;

function workerEntry(module: string): string {
  return `// For hosts that forbid compiling code at run time: the module is a static import, and the caller says where weights and tokenizer are.
import { load as loadArtefact } from "./runtime.js";
import manifest from "./manifest.json";
import module from "./${module}";
export * from "./runtime.js";
export const load = (options) => loadArtefact({ manifest, module, ...options });
`;
}

function readme({ name, model, limits, memory, quantization }: Manifest): string {
  return `# ${name}

An ${model.type} model of ${model.parameters} parameters, compiled to WebAssembly by lfmc. It needs no network, GPU or native addon.

\`\`\`js
import { load } from "./index.js";
const model = await load();
const session = model.createSession();
for await (const part of session.generate("Once upon a time", { maxTokens: 64 })) process.stdout.write(part.text);
await model.dispose();
\`\`\`

| | |
|---|---|
| weights | ${quantization.weights}, ${memory.weights.bytes} bytes |
| activations, KV cache | ${quantization.activations}, ${quantization.kv} |
| context | ${limits.context} positions |
| session slots | ${limits.sessions}, ${memory.state.slotBytes} bytes each |
| memory | ${memory.bytes} bytes, fixed when the model was compiled |
`;
}
