/**
 * The npm-shaped package round modules: beside the universal entry, one for edge workers, which may not compile code at run time and import
 * modules statically.
 */
import { isEmbedded, type Manifest } from "../../runtime/manifest.ts";
import { commonFiles, factRows, grouped, npmName, partExamples, usageExample } from "../package.ts";
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

/** Bundlers ask for more than one of these: for edge workers the most special counts, and a page's own workers are pages before they are workers. */
const entries = {
  types: "./index.d.ts",
  "edge-light": "./edge-light.js",
  workerd: "./worker.js",
  deno: "./index.js",
  bun: "./index.js",
  node: "./index.js",
  browser: "./index.js",
  worker: "./worker.js",
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
  const { name, model, memory, files } = manifest;
  return `# ${name}

An ${model.type} model of ${grouped(model.parameters)} parameters, compiled to WebAssembly by lfmc ${manifest.lfmc}: code, weights${files.tokenizer === null ? "" : " and tokenizer"}. It runs in Node 20.16 or later, Deno, Bun, pages and edge workers,
gives the same bits in all of them, and needs no network, GPU or native addon.

## Use

${usageExample(manifest, [
  "npm install FOLDER   # or the tarball that `npm pack FOLDER` makes",
  "node main.mjs        # or deno run --allow-read main.mjs, or bun main.mjs",
])}
${partExamples(manifest)}
## Pages

Serve this folder as it is, from any static server, and import its \`index.js\`: best in a module worker, so that the page stays smooth. What is loaded once is kept (OPFS or Cache API, by sha256), and a
load that was cut short goes on where it stopped. Under a strict policy it needs \`script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'\`. Threads need a page that is isolated (COOP
\`same-origin\`, COEP \`require-corp\`); elsewhere it runs in one. A bundle does not take the
folder along: serve it beside, and pass \`load({ base: new URL("/FOLDER/", location.href) })\`.

## Edge workers

${workerExample(manifest)}

## What is here

| file | is |
|---|---|
${fileRows(manifest)}

| | |
|---|---|
${factRows(manifest)}
| memory | ${grouped(memory.bytes)} bytes, fixed when the model was compiled |

\`lfmc verify FOLDER\`, of the compiler, checks hashes, code and plan. \`private\` in package.json keeps the package off the registry, since weights are seldom free to republish; it names the model's licence where one came along.
`;
}

/** Where an edge worker has its weights from. */
function workerExample(manifest: Manifest): string {
  const name = npmName(manifest);
  if (isEmbedded(manifest)) {
    return `workerd and Vercel's edge import \`${name}/worker\`, and so do bundlers for them that import \`${name}\`: \`await load()\` compiles nothing, and the modules hold the weights.`;
  }
  return `workerd and Vercel's edge import \`${name}/worker\`, and so do bundlers for them that import \`${name}\`: modules, manifest and tokenizer are imported, and the caller says where the shards of the weights are.

\`\`\`js
import { load } from "${name}/worker";

export const open = (env) => load({ weights: (index, { path }) => env.ASSETS.fetch(\`https://assets/\${path}\`) });
\`\`\``;
}

function fileRows(manifest: Manifest): string {
  const { files, variants, weights } = manifest;
  const rows: readonly (readonly [paths: readonly (string | null)[], is: string])[] = [
    [["index.js", "index.d.ts", "types/"], "the entry of hosts that read files; types"],
    [["worker.js", "edge-light.js"], "the entries of edge workers"],
    [["chat.js", "json-schema.js"], `\`${npmName(manifest)}/chat\`, \`${npmName(manifest)}/json-schema\``],
    [["runtime.js", variants.some(({ threads }) => threads) ? "thread.js" : null], "the runtime"],
    [variants.map(({ module }) => module), "the code, a module for each instruction set; the best is taken"],
    [["manifest.json"], "shapes, limits, memory map, sha256 of code and weights"],
    [[isEmbedded(manifest) ? null : "weights/"], `the weights, in ${weights.length} ${weights.length === 1 ? "file" : "files"}`],
    [[files.tokenizer, files.tokenizerConfig], "the tokenizer"],
    [[files.chatTemplate, files.chatTemplate && "chat_template.js"], "the chat template"],
  ];
  return rows
    .map(([paths, is]) => ({ names: paths.flatMap((path) => (path ? [`\`${path}\``] : [])), is }))
    .filter(({ names }) => names.length > 0)
    .map(({ names, is }) => `| ${names.join(", ")} | ${is} |`)
    .join("\n");
}
