/**
 * The engines that tests run artefacts under, beside the one that runs the tests. They are installed by `test/system.ts` from
 * `test/engines/package-lock.json`, apart from the root's packages: a second package with a bin called `node` would shadow the pinned one.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that holds the engines' package.json and lock file. */
export const enginesFolder = fileURLToPath(new URL("engines/", import.meta.url));

export type Engine = { readonly available: true; readonly path: string } | { readonly available: false; readonly reason: string };

/** Node 20, the oldest that artefacts promise to run under; a test that needs it skips with `reason` where it is absent. */
export function findNode20(): Engine {
  return find("Node 20", "node20/bin/node");
}

/** Deno, which calls native libraries by itself. */
export function findDeno(): Engine {
  return find("Deno", "deno/deno");
}

/** Bun, which does too. */
export function findBun(): Engine {
  return find("Bun", "bun/bin/bun");
}

/** workerd, the engine of Cloudflare's workers. */
export function findWorkerd(): Engine {
  return find("workerd", "workerd/bin/workerd");
}

/** The engines come as packages of programs for one system. */
export const enginesFit = process.platform === "linux" && process.arch === "x64";

function find(name: string, program: string): Engine {
  if (!enginesFit)
    return { available: false, reason: `${name} comes from a package for linux x64, and this is ${process.platform} ${process.arch}` };
  const path = join(enginesFolder, "node_modules", program);
  if (existsSync(path)) return { available: true, path };
  return { available: false, reason: `${name} is not installed: \`npm test\` installs it, or \`npm ci --prefix test/engines\`` };
}
