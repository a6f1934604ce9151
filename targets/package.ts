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
      name: npmName(manifest),
      version: "1.0.0",
      description: `${manifest.model.type} model, ${manifest.model.parameters} parameters, compiled by lfmc ${manifest.lfmc}`,
      type: "module",
      engines: { node: ">=20.16" },
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

/** The artefact's name as npm takes it. */
export function npmName({ name }: Manifest): string {
  return name.toLowerCase();
}

/** What a README says of the model, as the rows of a table. */
export function factRows({ limits, memory, quantization }: Manifest): string {
  return `| weights | ${quantization.weights}, ${grouped(memory.weights.bytes)} bytes |
| activations, KV cache | ${quantization.activations}, ${quantization.kv} |
| context | ${grouped(limits.context)} positions |
| session slots | ${limits.sessions}, ${grouped(memory.state.slotBytes)} bytes each |`;
}

/** A number as people read it. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

/** The package in a project, as a README tells it: shell commands, and the program that they run: it streams text, or token ids where there is no tokenizer. */
export function usageExample(manifest: Manifest, commands: readonly string[]): string {
  const { files, tokens, target, variants } = manifest;
  const hasThreads = target !== "wasm-simd" || variants.some(({ threads }) => threads);
  const [prompt, part, output] =
    files.tokenizer === null
      ? [`[${tokens.bos ?? 0}]`, "token", "console.log(token)"]
      : ['"Once upon a time"', "text", "process.stdout.write(text)"];
  return `This folder is an npm package:

\`\`\`sh
${commands.join("\n")}
\`\`\`

\`\`\`js
// main.mjs
import { load } from "${npmName(manifest)}"; // without npm: from "./FOLDER/index.js"

const model = await load();${hasThreads ? " // or load({ threads: 2 })" : ""}
const session = model.createSession();
for await (const { ${part} } of session.generate(${prompt}, { maxTokens: 64 })) ${output};
await model.dispose();
\`\`\`

\`session.rewind(position)\`, \`session.save()\` and \`model.restore(bytes)\` are exact. [index.d.ts](index.d.ts) has all options and limits, as types that an editor shows.`;
}

/** What stands beside the core, as sections of a README; nothing for a model that knows no text. */
export function partExamples(manifest: Manifest): string {
  const { tokenizer, chatTemplate } = manifest.files;
  if (tokenizer === null) return "";
  const name = npmName(manifest);
  const conversation =
    chatTemplate === null
      ? `The model came without a chat template. \`chat\` of \`${name}/chat\` takes one: \`chat(model, session, messages, { template: createChatTemplate(source) })\`.`
      : `\`\`\`js
import { load } from "${name}";
import { chat } from "${name}/chat";

const model = await load();
const messages = [{ role: "user", content: "Hello!" }];
for await (const { text = "" } of chat(model, model.createSession(), messages, { maxTokens: 64 })) process.stdout.write(text);
await model.dispose();
\`\`\``;
  return `
## Conversations

${conversation}

## Text of a given form

\`\`\`js
import { load } from "${name}";
import { jsonSchema } from "${name}/json-schema";

const model = await load();
const schema = { type: "object", properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer", minimum: 0, maximum: 120 } }, required: ["name", "age"] };
const { text } = await model.createSession().complete("Her name and age:", { constrain: jsonSchema(model, schema) });
console.log(JSON.parse(text));
await model.dispose();
\`\`\`
`;
}

/** Bundlers take `new URL("…", import.meta.url)` for one file, and put something else there: hence the two steps. */
const universalEntry = `// Loads the model from the files beside this one. Of a bundle of yours: load({ base }), the URL of this folder as it is served.
import { load as loadArtefact } from "./runtime.js";
export * from "./runtime.js";
const here = import.meta.url;
export const load = (options = {}) => loadArtefact({ base: new URL("./", here), ...options });
`;
