/**
 * `npm run demo`: compiles the model beside this file to a WebAssembly package in build/demo, then lets that package write English. The
 * second half is all that a program using an artefact needs: the package has no dependency on lfmc.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The part of an artefact's API that is used here; its `index.d.ts` holds all of it. */
interface Artefact {
  load(): Promise<{ createSession(): Session; dispose(): Promise<void> }>;
}

interface Session {
  generate(prompt: string, options: { maxTokens: number; temperature: number }): AsyncIterable<{ text: string }>;
}

const root = fileURLToPath(new URL("..", import.meta.url));
const prompt = "It is a truth universally acknowledged, that";

const compile = spawnSync(
  process.execPath,
  ["dist/compiler/cli.js", "compile", "examples/demo-model", "--target", "wasm-simd", "--quant", "q4_0", "-o", "build/demo"],
  { cwd: root, stdio: ["ignore", process.stderr, "inherit"] },
);
if (compile.status !== 0) process.exit(compile.status ?? 1);

const artefact = (await import(pathToFileURL(`${root}/build/demo/index.js`).href)) as Artefact;
const model = await artefact.load();
const session = model.createSession();
process.stdout.write(prompt);
for await (const part of session.generate(prompt, { maxTokens: 80, temperature: 0 })) process.stdout.write(part.text);
process.stdout.write("\n");
await model.dispose();
