/** How the long tests run (`npm run test:long`): one after the other, since they hold real sizes to bounds of time and memory. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { PlainReporter } from "./reporter.ts";

export default defineConfig({
  root: fileURLToPath(new URL("..", import.meta.url)),
  test: {
    include: ["test/long/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 300_000,
    update: "none",
    reporters: ["default", new PlainReporter()],
  },
});
