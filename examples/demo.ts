/**
 * `npm run demo`: compiles the model beside this file to a WebAssembly package in build/demo, then lets that package write English. The
 * second half is all that a program using an artefact needs: the package has no dependency on lfmc.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { importArtefact } from "./artefact.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const prompt = "It is a truth universally acknowledged, that";

const compile = spawnSync(
  process.execPath,
  ["dist/compiler/cli.js", "compile", "examples/demo-model", "--target", "wasm-simd", "--quant", "q4_0", "-o", "build/demo"],
  { cwd: root, stdio: ["ignore", process.stderr, "inherit"] },
);
if (compile.status !== 0) process.exit(compile.status ?? 1);

const { load } = await importArtefact(`${root}/build/demo`);
const model = await load();
const session = model.createSession();
process.stdout.write(prompt);
for await (const part of session.generate(prompt, { maxTokens: 80, temperature: 0 })) process.stdout.write(part.text);
process.stdout.write("\n");
await model.dispose();
