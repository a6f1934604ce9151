/** Where candidates can be measured: the best variant that this machine runs of each target. */
import { detectFeatures } from "../../runtime/index.ts";
import { hostForeignInterface } from "../../runtime/library/foreign.ts";
import { host, inTurn, runnableVariants } from "../bench/records.ts";
import { LfmcError, required } from "../errors.ts";
import { architectureOf, findCompiler } from "../native/compiler.ts";
import { loadTarget, type TargetName } from "../targets.ts";
import type { Site } from "./types.ts";

export interface UsualTargets {
  readonly targets: readonly TargetName[];
  /** Why there is no C target among them; null where there is one. */
  readonly note: string | null;
}

const cTargets = { x86: "c-x86", arm: "c-arm", other: "c" } as const;

/** WebAssembly, and the C target of this machine where what it takes is there. */
export async function usualTargets(): Promise<UsualTargets> {
  try {
    return { targets: ["wasm-simd", await nativeTarget()], note: null };
  } catch (error) {
    if (!(error instanceof LfmcError)) throw error;
    return { targets: ["wasm-simd"], note: `C is left out: ${error.message}` };
  }
}

async function nativeTarget(): Promise<TargetName> {
  checkCallable("c");
  return cTargets[architectureOf((await findCompiler()).machine)];
}

/** Throws native/machine for a target of which this machine runs nothing, or not on several threads. */
export async function sitesOf(targets: readonly TargetName[], threads: number): Promise<readonly Site[]> {
  return await inTurn([...new Set(targets)], async (name) => {
    if (name !== "wasm-simd") checkCallable(name);
    else if (threads > 1 && !detectFeatures().has("threads")) {
      throw new LfmcError("native/machine", "does not share memory among threads", {
        subject: "this engine",
        hint: "leave --threads at 1",
      });
    }
    const target = await loadTarget(name);
    // Targets list their variants from worst to best.
    const variant = required(runnableVariants(target, null).at(-1), "variant");
    return { target: name, variant: variant.name, ...(await host(target, variant)), threads };
  });
}

/** Throws native/machine where libraries cannot be called from this process. */
function checkCallable(target: TargetName): void {
  if (hostForeignInterface([]) !== null) return;
  throw new LfmcError("native/machine", "cannot be measured: its library cannot be called from here", {
    subject: target,
    hint: "install the npm package koffi, or leave this target out of --targets",
  });
}
