/**
 * Runs before the tests (`npm test`): sees that what they need is there, and installs what is missing. A need that cannot be met is one
 * error that names it; an engine that is merely optional is reported, and the tests that want it skip.
 */

import { spawnSync } from "node:child_process";
import { installDebianPackages } from "./debian.ts";
import { enginesFit, enginesFolder, findBun, findDeno, findNode20, findWorkerd } from "./engines.ts";

const oldestMajor = 26;

if (Number.parseInt(process.versions.node, 10) < oldestMajor) {
  process.stderr.write(
    `The tests run under the Node ${String(oldestMajor)} that npm installs, not ${process.version}: run \`npm ci\` with install scripts allowed, then \`npm test\`.\n`,
  );
  process.exit(1);
}

const engines = [findNode20, findDeno, findBun, findWorkerd];
const missing = engines.some((find) => !find().available);
if (enginesFit && missing) {
  process.stderr.write("Installing the engines that tests run artefacts under: Node 20, Deno, Bun, workerd…\n");
  spawnSync("npm", ["ci", "--prefix", enginesFolder, "--no-audit", "--no-fund"], { stdio: ["ignore", "ignore", "inherit"] });
}

for (const find of engines) {
  const engine = find();
  if (!engine.available) process.stderr.write(`Its tests are skipped. ${engine.reason}.\n`);
}

const absent = installDebianPackages();
if (absent.length > 0) process.stderr.write(`Tests that use them are skipped: ${absent.join(", ")} is not installed.\n`);
