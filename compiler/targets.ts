/** The targets by name. Each is loaded when it is asked for: emitters are large, and most commands need none. */
import type { Target } from "../targets/target.ts";

const cTarget = async (name: "c" | "c-x86" | "c-arm"): Promise<Target> => (await import("../targets/c/target.ts")).cTargets[name];

const loaders = {
  "wasm-simd": async (): Promise<Target> => (await import("../targets/wasm/target.ts")).wasmSimd,
  c: () => cTarget("c"),
  "c-x86": () => cTarget("c-x86"),
  "c-arm": () => cTarget("c-arm"),
} as const;

export type TargetName = keyof typeof loaders;
export const targetNames: readonly TargetName[] = ["wasm-simd", "c", "c-x86", "c-arm"];

export function loadTarget(name: TargetName): Promise<Target> {
  return loaders[name]();
}
