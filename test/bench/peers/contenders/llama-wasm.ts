/** llama.cpp compiled to WebAssembly with its own SIMD kernels, in this Node. */
import { lastLine, runChild } from "../child.ts";
import { parseRepetition } from "../figures.ts";
import { buildWasm, sourceVersion, wasmTools } from "../llama-cpp.ts";
import { emscripten, missingTools, runTool } from "../tools.ts";
import { nodePeer, type Contender } from "./contender.ts";

/** Emscripten would fetch the module by its path where there is a fetch. */
const withoutFetch = "data:text/javascript,delete globalThis.fetch";

export const llamaWasm: Contender = {
  name: "llama-wasm",
  title: "llama.cpp WebAssembly SIMD (Node)",
  ...nodePeer,
  obstacle: () => missingTools(wasmTools),
  prepare: async () => {
    await buildWasm();
  },
  version: async () => {
    const version = /\d+\.\d+\.\d+/.exec(await runTool(emscripten, ["--version"]))?.[0] ?? "unknown";
    return `${sourceVersion}, Emscripten ${version}, -msimd128, Node ${process.versions.node}`;
  },
  measure: async (path, { threads, prompt, decode, depth, samples }) => {
    const program = await buildWasm();
    const args = [path, threads, prompt, decode, depth, samples, Date.now()].map(String);
    const { stdout, peakBytes } = await runChild(process.execPath, ["--import", withoutFetch, program, ...args]);
    return { ...parseRepetition(lastLine(stdout)), peakBytes };
  },
};
