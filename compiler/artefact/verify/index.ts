/** `lfmc verify`, but for its printing: everything about an artefact that can be told from its folder, found out without running any of it. */
import { isEmbedded, type Manifest } from "../../../runtime/manifest.ts";
import { checkModules, checkSources } from "./modules.ts";
import { checkPackage } from "./package.ts";
import { checkPlan } from "./plan.ts";
import { checkWeights, type WeightsOptions } from "./weights.ts";
import type { Findings } from "./finding.ts";

/** Checks the files of an artefact against its manifest, and its plan. Each fault is a finding; nothing but lfmc's own faults is thrown. */
export async function* verifyArtefact(folder: string, manifest: Manifest, options: WeightsOptions): Findings {
  const ofFiles = yield* checkWeights(folder, manifest, options);
  const ofModules = manifest.target === "wasm-simd" ? yield* checkModules(folder, manifest) : yield* checkSources(folder, manifest);
  const weightsHash = isEmbedded(manifest) ? (ofModules ?? null) : ofFiles;
  yield* checkPlan(manifest, weightsHash);
  yield* checkPackage(folder, manifest, weightsHash);
}
