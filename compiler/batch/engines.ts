/** Engines by the name that `--engine` has for them. The code of each is loaded only when it is asked for. */
import type { EngineOpener } from "./engine.ts";

export const engines = {
  local: async () => (await import("./local-engine.ts")).openLocalEngine,
  ray: async () => (await import("./ray/ray-engine.ts")).openRayEngine,
} satisfies Readonly<Record<string, () => Promise<EngineOpener>>>;

export type EngineName = keyof typeof engines;
