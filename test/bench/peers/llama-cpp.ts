/**
 * llama.cpp from the source distribution that `llama-cpp.txt` pins, built twice: for this processor, and as WebAssembly with its own SIMD
 * kernels. A build that is there is not made again.
 */
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, delimiter, dirname, join } from "node:path";
import { cacheFolder, peersFolder } from "./folders.ts";
import { modifiedAt } from "./modified.ts";
import { cmake, compiler, emscripten, ninja, pip, runTool, tar, type Tool } from "./tools.ts";

export const nativeTools: readonly Tool[] = [pip, tar, cmake, ninja, compiler];
export const wasmTools: readonly Tool[] = [pip, tar, cmake, ninja, emscripten];
export const sourceVersion = "llama.cpp of llama-cpp-python 0.3.36";

const distribution = "llama_cpp_python-0.3.36";
const source = join(cacheFolder, "llama.cpp");
const native = join(cacheFolder, "native");
const wasm = join(cacheFolder, "wasm");

/** llama-bench, built for this processor. Throws an Error where that fails. */
export async function buildNative(): Promise<string> {
  const program = join(native, "bin/llama-bench");
  if (existsSync(program)) return program;
  await unpackSource();
  const options = ["-DGGML_NATIVE=ON", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_CURL=OFF"];
  await runTool(cmake, ["-S", source, "-B", native, "-G", "Ninja", ...common, ...options]);
  await runTool(ninja, ["-C", native, "llama-bench"]);
  return program;
}

/** `children/llama-wasm.cpp` as a program for Node. Throws an Error where that fails. */
export async function buildWasm(): Promise<string> {
  const [program, main] = [join(wasm, "program/llama-wasm.js"), join(peersFolder, "children/llama-wasm.cpp")];
  if ((await modifiedAt(program)) >= (await modifiedAt(main))) return program;
  await unpackSource();
  prepareForEmscripten();
  const flags = wasmFlags.join(" ");
  const options = [
    // The toolchain calls the processor x86, and ggml would take its plain C kernels.
    ...["-DEMSCRIPTEN_SYSTEM_PROCESSOR=wasm32", `-DCMAKE_TOOLCHAIN_FILE=${join(peersFolder, "emscripten.cmake")}`],
    ...["-DGGML_NATIVE=OFF", "-DLLAMA_WASM_MEM64=OFF", "-DLLAMA_BUILD_COMMON=OFF", "-DLLAMA_BUILD_TOOLS=OFF"],
    ...[`-DCMAKE_C_FLAGS=${flags}`, `-DCMAKE_CXX_FLAGS=${flags}`],
  ];
  await runTool(cmake, ["-S", source, "-B", wasm, "-G", "Ninja", ...common, ...options]);
  await runTool(ninja, ["-C", wasm, "llama"]);
  const libraries = ["src/libllama.a", "ggml/src/libggml.a", "ggml/src/libggml-cpu.a", "ggml/src/libggml-base.a"];
  const includes = ["include", "ggml/include"].map((folder) => `-I${join(source, folder)}`);
  const settings = linkSettings.flatMap((setting) => ["-s", setting]);
  const inputs = [main, ...libraries.map((library) => join(wasm, library))];
  const linking = join(wasm, "linking");
  await mkdir(linking, { recursive: true });
  // What Emscripten writes is a script, not a module.
  await writeFile(join(linking, "package.json"), '{ "type": "commonjs" }');
  await runTool(emscripten, [...wasmFlags, ...includes, ...inputs, ...settings, "-o", join(linking, basename(program))]);
  await rm(dirname(program), { recursive: true, force: true });
  await rename(linking, dirname(program));
  return program;
}

/** Emscripten looks in NODE_PATH for acorn, with which it reads its own JavaScript, and in PATH for binaryen, of which it needs its own version, not npm's. */
function prepareForEmscripten(): void {
  process.env.NODE_PATH = join(peersFolder, "node_modules");
  const folders = (process.env.PATH ?? "").split(delimiter);
  process.env.PATH = folders.filter((folder) => !folder.includes("node_modules")).join(delimiter);
}

const common = [
  ...["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DGGML_OPENMP=OFF"],
  ...["-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF"],
];

const wasmFlags = ["-O3", "-msimd128", "-pthread", "-fwasm-exceptions", "-Wno-everything"];

/** For Node alone, with files read by Node and a shared memory of a fixed 2 GiB, the most that this Emscripten gives. */
const linkSettings = [
  ...["INITIAL_MEMORY=2147418112", "TOTAL_STACK=8MB", "NODERAWFS=1", "ENVIRONMENT=node,worker"],
  ...["PROXY_TO_PTHREAD=1", "PTHREAD_POOL_SIZE=4", "EXIT_RUNTIME=1"],
];

async function unpackSource(): Promise<void> {
  if (existsSync(source)) return;
  const download = join(cacheFolder, "download");
  await mkdir(download, { recursive: true });
  const requirement = ["--requirement", join(peersFolder, "llama-cpp.txt")];
  await runTool(pip, ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", download, ...requirement]);
  await runTool(tar, ["-xzf", `${distribution}.tar.gz`, `${distribution}/vendor/llama.cpp`], download);
  await mkdir(dirname(source), { recursive: true });
  await rename(join(download, distribution, "vendor/llama.cpp"), source);
}
