/**
 * The npm-shaped package round an artefact's code: what every target's has in common. One universal entry serves every host that has the
 * artefact's files: it finds them beside itself.
 */
import type { Manifest } from "../runtime/manifest.ts";
import type { PackageFile, PackageInput } from "./target.ts";

/** Entry points by the conditions that hosts ask for, or one for all. */
export type EntryPoint = string | Readonly<Record<string, string>>;

export interface PackageEntries {
  /** Of the package itself; types go first. */
  readonly main: EntryPoint;
  /** Of its parts, by subpath. */
  readonly parts: Readonly<Record<string, EntryPoint>>;
}

/** What stands beside the core in every artefact, for who imports it. */
const sharedParts: PackageEntries["parts"] = {
  "./chat": { types: "./chat.d.ts", default: "./chat.js" },
  "./json-schema": { types: "./json-schema.d.ts", default: "./json-schema.js" },
};

/** package.json and the universal entry. */
export function commonFiles({ manifest, license }: PackageInput, { main, parts }: PackageEntries): readonly PackageFile[] {
  const text = JSON.stringify(
    {
      name: manifest.name.toLowerCase(),
      version: "1.0.0",
      description: `${manifest.model.type} model, ${manifest.model.parameters} parameters, compiled by lfmc ${manifest.lfmc}`,
      type: "module",
      license: license === null ? "UNLICENSED" : `SEE LICENSE IN ${license}`,
      // Weights are seldom free to republish: publishing takes a decision.
      private: true,
      sideEffects: false,
      types: "./index.d.ts",
      exports: { ".": main, ...parts, ...sharedParts, "./*": "./*" },
    },
    null,
    2,
  );
  return [
    { path: "package.json", text: `${text}\n` },
    { path: "index.js", text: universalEntry },
  ];
}

/** What a README says of the model, as the rows of a table. */
export function factRows({ limits, memory, quantization }: Manifest): string {
  return `| weights | ${quantization.weights}, ${memory.weights.bytes} bytes |
| activations, KV cache | ${quantization.activations}, ${quantization.kv} |
| context | ${limits.context} positions |
| session slots | ${limits.sessions}, ${memory.state.slotBytes} bytes each |`;
}

/** A use of the package in JavaScript; without a tokenizer in token ids. */
export function usageExample({ name, files, tokens }: Manifest): string {
  const [prompt, output] =
    files.tokenizer === null
      ? [`[${tokens.bos ?? 0}]`, "console.log(part.token)"]
      : ['"Once upon a time"', "process.stdout.write(part.text)"];
  return `\`\`\`js
import { load } from "${name.toLowerCase()}"; // or from this folder's index.js
const model = await load();
const session = model.createSession();
for await (const part of session.generate(${prompt}, { maxTokens: 64 })) ${output};
await model.dispose();
\`\`\``;
}

const universalEntry = `// Loads the model from the files beside this one.
import { load as loadArtefact } from "./runtime.js";
export * from "./runtime.js";
export const load = (options = {}) => loadArtefact({ base: new URL("./", import.meta.url), ...options });
`;
