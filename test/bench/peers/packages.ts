/** The peers that come from npm, installed beside this file when they are first needed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { runTool, type Tool } from "./tools.ts";
import { peersFolder } from "./folders.ts";
import { modifiedAt } from "./modified.ts";

const npm: Tool = { programs: ["npm"], package: "npm" };

/**
 * Installs what package-lock.json pins, unless that is there. Without optional packages: node-llama-cpp's are its libraries for every system and
 * graphics card. `npm ci` would refuse a lock file that lacks one of those, and no registry has to hold them all.
 */
export async function installPackages(): Promise<void> {
  const installed = await modifiedAt(join(peersFolder, "node_modules/.package-lock.json"));
  if (installed >= (await modifiedAt(join(peersFolder, "package-lock.json")))) return;
  await runTool(npm, ["install", "--no-save", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"], peersFolder);
}

/** The version of an installed package. */
export async function installedVersion(name: string): Promise<string> {
  const text = await readFile(join(peersFolder, "node_modules", name, "package.json"), "utf8");
  return v.parse(v.object({ version: v.string() }), JSON.parse(text)).version;
}
