/** What a candidate takes at a site, to the byte, from its config alone. */
import { parameterCount } from "../artefact/manifest.ts";
import { shapeOf } from "../bench/shapes.ts";
import { parseConfig } from "../import/config.ts";
import { draftPrograms } from "../pipeline.ts";
import { chosenVariants, loadTarget } from "../targets.ts";
import type { MemoryMap } from "../../runtime/manifest.ts";
import { buildOptions } from "./candidate-build.ts";
import type { Candidate, Planned, Site, Work } from "./types.ts";

/** Throws what `parseConfig` and planning throw. */
export async function planCandidate(candidate: Candidate, config: unknown, site: Site, work: Work): Promise<Planned> {
  const model = shapeOf(candidate.id, parseConfig(config, `${candidate.id}.json`).config);
  const options = buildOptions(candidate, site, work);
  const { memory } = draftPrograms(model, chosenVariants(await loadTarget(site.target), options), { model: candidate.id, ...options });
  return { ...memoryBytes(memory), weightBytes: memory.weights.bytes, parameters: parameterCount(model.graph) };
}

/** Bytes of a plan: the memory, the weights where they lie apart from it, and the scratch of one thread; and of a session. */
export function memoryBytes({ bytes, threadBytes, weights, state }: MemoryMap): Pick<Planned, "memoryBytes" | "cacheBytes"> {
  const isApart = weights.offset === 0;
  return { memoryBytes: bytes + threadBytes + (isApart ? weights.bytes : 0), cacheBytes: state.slotBytes };
}
