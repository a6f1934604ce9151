/** The targets by name. Each is loaded when it is asked for: emitters are large, and most commands need none. */
import type { Target } from "../targets/target.ts";
import { LfmcError } from "./errors.ts";
import type { EngineFeature } from "./options.ts";

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

/** What 32-bit addresses reach. */
const narrowMemory = 2 ** 32;

/** The target with those of its variants alone that engines with `features` run. Throws usage/flag where there is none, or where processors choose. */
export function limitTarget(target: Target, features: readonly EngineFeature[]): Target {
  const refuse = (fact: string, hint: string): never => {
    throw new LfmcError("usage/flag", fact, { subject: "--features", hint });
  };
  if (target.name !== "wasm-simd")
    refuse(`does not go with --target ${target.name}, whose library chooses by the processor`, "leave it out");
  const has = new Set<string>(features);
  const variants = target.variants.filter(
    (variant) => variant.features.every((name) => has.has(name)) && (has.has("threads") || !variant.threads),
  );
  if (variants.length === 0) refuse(`${features.join(",")} is not enough for any variant`, "name simd128 too, which all need");
  const largest = has.has("memory64") ? target.memory.largest : Math.min(target.memory.largest, narrowMemory);
  return { ...target, variants, memory: { ...target.memory, largest } };
}
