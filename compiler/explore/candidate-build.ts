/** How a candidate is compiled at a site: the options, and the command line that does the same. */
import type { CompileOptions } from "../options.ts";
import type { Candidate, Site, Work } from "./types.ts";

type BuildOptions = Pick<CompileOptions, "target" | "features" | "variants" | "context" | "quant" | "kv" | "randomWeights">;

/**
 * All but where the config is and where the artefact goes: the site's one variant, and of modules that for so many threads. The weights are random:
 * no figure depends on their values.
 */
export function buildOptions({ quant, kv }: Candidate, { target, variant, threads }: Site, { context }: Work): BuildOptions {
  const features: BuildOptions = target === "wasm-simd" && threads === 1 ? { target, features: ["simd128", "relaxed"] } : { target };
  return { ...features, variants: [variant], context, quant, kv, randomWeights: 0 };
}

/** The command that builds it from the folder of the results: `lfmc compile configs/ID.json … -o ID-TARGET`. */
export function compileCommand(candidate: Candidate, site: Site, work: Work): string {
  const { randomWeights, ...options } = buildOptions(candidate, site, work);
  const flags = Object.entries({ ...options, "random-weights": randomWeights }).map(([name, value]) => `--${name} ${String(value)}`);
  return `lfmc compile ${configPath(candidate)} ${flags.join(" ")} -o ${candidate.id}-${site.target}`;
}

/** Where a candidate's config lies in the folder of the results. */
export function configPath({ id }: Pick<Candidate, "id">): string {
  return `configs/${id}.json`;
}
