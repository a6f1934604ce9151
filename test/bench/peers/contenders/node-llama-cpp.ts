/** llama.cpp as npm programs get it: node-llama-cpp and its prebuilt library, in this Node. */
import { installedVersion } from "../packages.ts";
import { runTypescriptChild } from "./typescript-child.ts";
import { nodePeer, type Contender } from "./contender.ts";

export const nodeLlamaCpp: Contender = {
  name: "node-llama-cpp",
  title: "node-llama-cpp",
  ...nodePeer,
  obstacle: () => null,
  prepare: () => Promise.resolve(),
  version: async () => `node-llama-cpp ${await installedVersion("node-llama-cpp")}, its prebuilt library, Node ${process.versions.node}`,
  measure: (path, work) => runTypescriptChild("node-llama-cpp.ts", path, work),
};
