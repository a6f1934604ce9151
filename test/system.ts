/**
 * Runs before the tests (`npm test`): sees that what they need is there, and installs what is missing. A need that cannot be met is one
 * error that names it; an engine that is merely optional is reported, and the tests that want it skip.
 */

import { spawnSync } from "node:child_process";
import { enginesFolder, findNode20 } from "./engines.ts";

const oldestMajor = 26;

if (Number.parseInt(process.versions.node, 10) < oldestMajor) {
  process.stderr.write(
    `The tests run under the Node ${String(oldestMajor)} that npm installs, not ${process.version}: run \`npm ci\` with install scripts allowed, then \`npm test\`.\n`,
  );
  process.exit(1);
}

if (process.platform === "linux" && process.arch === "x64" && !findNode20().available) {
  process.stderr.write("Installing Node 20 for the tests that run artefacts under it…\n");
  spawnSync("npm", ["ci", "--prefix", enginesFolder, "--no-audit", "--no-fund"], { stdio: ["ignore", "ignore", "inherit"] });
}

const engine = findNode20();
if (!engine.available) process.stderr.write(`Tests under Node 20 are skipped. ${engine.reason}.\n`);
