/** lfmc itself: each variant of the WebAssembly artefact, in this Node and in headless Chromium, and the C library. */
import { packageVersion } from "../../../../compiler/index.ts";
import { findCompiler } from "../../../../compiler/native/compiler.ts";
import { cCompiler, cCompilerVersion, chromium, make, missingTools, runTool } from "../tools.ts";
import type { Contender } from "./contender.ts";
import { runTypescriptChild } from "./typescript-child.ts";

const variants = ["relaxed", "simd128"] as const;
const ours = { isOurs: true, mostRounds: Infinity, prepare: () => Promise.resolve() } as const;

const inNode = variants.map((variant): Contender => {
  return {
    name: `lfmc-${variant}`,
    title: `lfmc WebAssembly, ${variant} (Node)`,
    ...ours,
    isInBrowser: false,
    goesDeep: true,
    model: "wasm-simd",
    obstacle: () => null,
    version: () => Promise.resolve(`lfmc ${packageVersion}, Node ${process.versions.node}`),
    measure: (path, work) => runTypescriptChild("lfmc.ts", path, work, { variant }),
  };
});

const inChromium = variants.map((variant): Contender => {
  return {
    name: `lfmc-${variant}-chromium`,
    title: `lfmc WebAssembly, ${variant} (Chromium)`,
    ...ours,
    isInBrowser: true,
    goesDeep: false,
    model: "wasm-simd",
    obstacle: () => missingTools([chromium]),
    version: async () => `lfmc ${packageVersion}, ${(await runTool(chromium, ["--version"])).trim()}`,
    measure: (path, work) => runTypescriptChild("browser.ts", path, work, { page: "lfmc", variant }),
  };
});

const c: Contender = {
  name: "lfmc-c",
  title: "lfmc C",
  ...ours,
  isInBrowser: false,
  goesDeep: true,
  model: "c-x86",
  obstacle: () => (process.arch === "x64" ? null : `is for x64, and this is ${process.arch}`),
  version: async () => `lfmc ${packageVersion}, --target c-x86, ${(await findCompiler()).version} -O2, from Node ${process.versions.node}`,
  measure: (path, work) => runTypescriptChild("lfmc.ts", path, work),
};

/** What the portable unit is when a compiler may do its best with it; elsewhere lfmc's C is built with -O2. */
const scalar: Contender = {
  name: "lfmc-c-scalar",
  title: "lfmc C, scalar",
  ...ours,
  isInBrowser: false,
  // A prompt of 4096 takes it two minutes and more.
  goesDeep: false,
  model: "c",
  obstacle: () => missingTools([make, cCompiler]),
  version: async () => `lfmc ${packageVersion}, --target c, ${await cCompilerVersion()} -O3, from Node ${process.versions.node}`,
  measure: (path, work) => runTypescriptChild("lfmc.ts", path, work),
};

export const lfmc: readonly Contender[] = [...inNode, c, scalar, ...inChromium];
