/** llama.cpp as web pages get it: wllama, in headless Chromium. */
import { installedVersion } from "../packages.ts";
import { chromium, missingTools, runTool } from "../tools.ts";
import { runTypescriptChild } from "./typescript-child.ts";
import type { Contender } from "./contender.ts";

export const wllama: Contender = {
  name: "wllama",
  title: "wllama (Chromium)",
  isOurs: false,
  isInBrowser: true,
  // A prompt of 512 takes it up to two minutes.
  goesDeep: false,
  mostRounds: 1,
  model: "gguf",
  obstacle: () => missingTools([chromium]),
  prepare: () => Promise.resolve(),
  version: async () => `wllama ${await installedVersion("@wllama/wllama")}, ${(await runTool(chromium, ["--version"])).trim()}`,
  measure: (path, work) => runTypescriptChild("browser.ts", path, work, { page: "wllama" }),
};
