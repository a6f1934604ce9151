/**
 * `npm run build:runtime`: the runtime as the files that artefacts carry. `runtime.js` is the core of WebAssembly artefacts, `library.js` that of C
 * artefacts, under the same name there; `chat.js` and `json-schema.js` are loaded by who uses them, and import of the core what anybody can: its
 * public surface; `thread.js` is the whole program of a worker.
 */
import { writeFile } from "node:fs/promises";
import { build } from "rolldown";
import { parseAst } from "rolldown/parseAst";

const own = "lfmc runtime, Apache-2.0";
const tokenizers = `${own}; with @huggingface/tokenizers, Apache-2.0, Copyright (c) 2023 Hugging Face`;
const jinja = `${own}; with @huggingface/jinja, MIT, Copyright (c) 2023 Hugging Face`;

/** The core, as the bundles beside it see it. */
const core = {
  name: "core",
  resolveId: (id) => (id === "../index.ts" ? { id: "./runtime.js", external: true } : null),
};

/**
 * The tokenizers package reads every kind of tokenizer, `tokenizer.ts` opens byte-level BPE alone: what cannot be reached through it is left out, a
 * twentieth of the core. The package is one file, in which no bundler can tell. Fails where a version of it has other classes.
 */
const byteLevelAlone = {
  name: "byte-level alone",
  transform(code, id) {
    if (!id.endsWith("/tokenizers.mjs")) return null;
    return otherTokenizers.reduce((rest, name) => {
      const declaration = new RegExp(`^var ${name} = class[^\\n]*\\{\\n[^]*?^\\};$`, "m");
      if (!declaration.test(rest)) throw new Error(`${id} has no class ${name}`);
      return rest.replace(declaration, `var ${name} = class {};`);
    }, code);
  },
};

/** Models but BPE, with what serves them alone; decoders but ByteLevel. */
const otherTokenizers = [
  ...["WordPieceTokenizer", "Unigram", "Legacy", "CharTrie", "CharTrieNode", "TokenLattice", "TokenLatticeNode"],
  ...["WordPiece", "Metaspace2", "BPE2", "CTC", "Sequence4", "Replace3", "Fuse", "Strip2", "ByteFallback"],
];

/** Each bundle: its root, whose code is in it, and whether it has the core beside it. */
const bundles = {
  runtime: { root: "index.ts", licences: tokenizers, plugins: [byteLevelAlone] },
  library: { root: "library/index.ts", licences: tokenizers, plugins: [byteLevelAlone] },
  chat: { root: "chat/index.ts", licences: jinja, plugins: [core] },
  "json-schema": { root: "json-schema/index.ts", licences: own, plugins: [core] },
  thread: { root: "thread.ts", licences: own, plugins: [] },
};

/** An engine shows the whole line in which an error was thrown: so lines have about this many characters, and not all of the bundle. */
const lineLength = 1000;

/** The same code with line ends before statements and members of classes, where they change nothing. */
function withLines(code) {
  const starts = [];
  const visit = (node) => {
    if (typeof node !== "object" || node === null) return;
    if (node.type === "Program" || node.type === "BlockStatement" || node.type === "ClassBody")
      starts.push(...node.body.map(({ start }) => start));
    Object.values(node).forEach(visit);
  };
  visit(parseAst(code));
  const lines = [0];
  for (const start of starts.sort((a, b) => a - b)) if (start - lines.at(-1) > lineLength) lines.push(start);
  return lines.map((start, i) => code.slice(start, lines[i + 1])).join("\n");
}

for (const [name, { root, licences, plugins }] of Object.entries(bundles)) {
  const { output } = await build({
    input: `runtime/${root}`,
    platform: "neutral",
    external: [/^node:/],
    plugins,
    write: false,
    output: { format: "esm", minify: true, comments: false },
  });
  await writeFile(`dist/${name}.js`, `/*! ${licences} */\n${withLines(output[0].code)}`);
}
