/**
 * How the tests run: two worker processes (the machines that run them have two cores), and snapshots that are only ever written
 * by `npm run golden`. It lives here because the top level is fixed; every script passes it by `--config`.
 */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./longest-first.ts";
import { PlainReporter } from "./reporter.ts";

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/long/**", "**/node_modules/**"],
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    update: "none",
    reporters: ["default", new PlainReporter()],
  },
});
