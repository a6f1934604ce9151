/** The targets by name. Each is loaded when it is asked for: emitters are large, and most commands need none. */
import type { Target } from "../targets/target.ts";

const loaders = {
  "wasm-simd": async (): Promise<Target> => (await import("../targets/wasm/target.ts")).wasmSimd,
} as const;

export type TargetName = keyof typeof loaders;
export const targetNames: readonly TargetName[] = ["wasm-simd"];

export function loadTarget(name: TargetName): Promise<Target> {
  return loaders[name]();
}
