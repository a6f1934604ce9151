/**
 * The npm-shaped package round modules: beside the universal entry, one for edge workers, which may not compile code at run time and import
 * modules statically.
 */
import type { Manifest } from "../../runtime/manifest.ts";
import { commonFiles, factRows, usageExample } from "../package.ts";
import type { PackageFile, PackageInput } from "../target.ts";

/** All text files but the declarations, the manifest and the runtime's own. */
export function packageFiles(input: PackageInput): readonly PackageFile[] {
  const { manifest, chatTemplate } = input;
  return [
    ...commonFiles(input, { main: entries, parts: { "./worker": worker } }),
    { path: "worker.js", text: workerEntry(manifest, "") },
    { path: "edge-light.js", text: workerEntry(manifest, "?module") },
    ...(chatTemplate === null ? [] : [{ path: "chat_template.js", text: templateModule(chatTemplate) }]),
    { path: "README.md", text: readme(manifest) },
  ];
}

const worker = { types: "./worker.d.ts", "edge-light": "./edge-light.js", default: "./worker.js" };

/** Bundlers for edge workers ask for more than one of these: the most special comes first. */
const entries = {
  types: "./index.d.ts",
  "edge-light": "./edge-light.js",
  workerd: "./worker.js",
  deno: "./index.js",
  bun: "./index.js",
  node: "./index.js",
  worker: "./worker.js",
  browser: "./index.js",
  default: "./index.js",
};

/** `query` is what a bundler wants behind a module's name. */
function workerEntry({ variants, files: { tokenizer, tokenizerConfig, chatTemplate } }: Manifest, query: string): string {
  const modules = variants.filter(({ threads }) => !threads);
  const imports: readonly (readonly [name: string, path: string | null])[] = [
    ["manifest", "manifest.json"],
    ["tokenizer", tokenizer],
    ["tokenizerConfig", tokenizer && tokenizerConfig],
    ["chatTemplate", chatTemplate && "chat_template.js"],
    ...modules.map(({ name, module }) => [name, `${module}${query}`] as const),
  ];
  return `// For hosts that forbid compiling code at run time: all but the weights is imported, and the caller says where those are.
import { load as loadArtefact } from "./runtime.js";
${imports.flatMap(([name, path]) => (path === null ? [] : [`import ${name} from "./${path}";\n`])).join("")}export * from "./runtime.js";
const modules = { ${modules.map(({ name }) => name).join(", ")} };
const parts = {
  manifest,
  tokenizer: ${tokenizer === null ? "null" : `{ json: tokenizer${tokenizerConfig === null ? "" : ", config: tokenizerConfig"} }`},
  chatTemplate${chatTemplate === null ? ": null" : ""},
  module: ({ name }) => modules[name],
};
export const load = (options = {}) => loadArtefact({ ...parts, ...options });
`;
}

/** Hosts that only import cannot read the template's own file. */
function templateModule(source: string): string {
  return `// chat_template.jinja, for hosts that import files but do not read them.\nexport default ${JSON.stringify(source)};\n`;
}

function readme(manifest: Manifest): string {
  const { name, model, memory, files, weights, variants } = manifest;
  const packageName = name.toLowerCase();
  const [part] = weights;
  return `# ${name}

An ${model.type} model of ${model.parameters} parameters, compiled to WebAssembly by lfmc ${manifest.lfmc}. It needs no network, GPU or native addon, and gives the same bits on every host. This folder is an npm package:
\`npm install\` takes it, or what \`npm pack\` makes of it.

${usageExample(manifest)}

| host | imports | and passes |
|---|---|---|
| Node 20.16 or later, Deno, Bun | \`${packageName}\`, or this folder's \`index.js\` | nothing |
| pages | the same, served with all that lies beside it | nothing; threads need COOP and COEP headers, a strict policy \`script-src 'self' 'wasm-unsafe-eval'\` |
| workerd (Cloudflare), Vercel's edge | \`${packageName}\` or \`${packageName}/worker\` | ${part ? "`weights`, as below" : "nothing: the modules hold the weights"} |
${part ? `\n\`\`\`js\n${workerExample(packageName)}\`\`\`\n` : ""}
\`load\` takes \`threads\`, \`variant\` (${[...new Set(variants.map((variant) => variant.name))].join(", ")}), \`signal\`, \`onProgress\`; [index.d.ts](index.d.ts) tells the rest. \`session.rewind(position)\`, \`session.save()\` and \`model.restore(bytes)\` are exact.
${files.tokenizer === null ? "" : `\n${partsExample(packageName, files.chatTemplate !== null)}\n`}
| | |
|---|---|
${factRows(manifest)}
| memory | ${memory.bytes} bytes, fixed when the model was compiled |

\`npx lfmc verify DIR\` checks these files against [manifest.json](manifest.json). \`private\` in package.json keeps the package off the registry: weights are seldom free to republish.
`;
}

/** Weights for an edge worker. */
function workerExample(packageName: string): string {
  return `import { load } from "${packageName}/worker";
const model = await load({ weights: (index, { path }) => env.ASSETS.fetch(\`https://assets/\${path}\`) }); // or a URL, a stream, …
`;
}

/** What lies beside the core, for who imports it. */
function partsExample(packageName: string, hasTemplate: boolean): string {
  return `\`\`\`js
import { ${hasTemplate ? "chat" : "chat, createChatTemplate"} } from "${packageName}/chat"; // chat(model, session, messages, { ${hasTemplate ? "tools" : "template: createChatTemplate(source), tools"} })
import { jsonSchema } from "${packageName}/json-schema"; // session.generate(prompt, { constrain: jsonSchema(model, schema) })
\`\`\``;
}
