/** A process that builds artefacts, one job after the other, as an entry file; it ends with the process that started it. */
import { statSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { LfmcError as RuntimeError } from "../../runtime/errors.ts";
import { now } from "../bench/timing.ts";
import { isSystemFault, LfmcError, required } from "../errors.ts";
import { compile } from "../index.ts";
import { buildLibrary } from "../native/build.ts";
import type { BuildAnswer, BuildJob, Built } from "./builder.ts";
import { memoryBytes } from "./candidate-plan.ts";

process.on("message", (job: BuildJob) => {
  void answer(job).then((given) => process.send?.(given));
});
// Whoever waited for an answer is gone.
process.once("disconnect", () => process.exit());

async function answer(job: BuildJob): Promise<BuildAnswer> {
  try {
    return await build(job);
  } catch (error) {
    if (error instanceof LfmcError || error instanceof RuntimeError) return { refused: error.message };
    if (isSystemFault(error)) return { fault: error.message };
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

async function build(job: BuildJob): Promise<Built> {
  const begin = now();
  const { artefact } = await compile(job);
  const { manifest } = required(artefact, "artefact");
  const library = job.target === "wasm-simd" ? null : pathToFileURL((await buildLibrary(job.output, manifest)).path);
  const moduleBytes = library === null ? required(manifest.variants[0], "variant").bytes : statSync(fileURLToPath(library)).size;
  return { ...memoryBytes(manifest.memory), library: library?.href ?? null, moduleBytes, buildSeconds: now() - begin };
}
