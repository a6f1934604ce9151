/**
 * The process that measures a model, as an entry file: it imports the runtime and no compiler, so that its peak memory is the model's and the
 * engine has compiled none of the code before. It tells what it finds by messages.
 */
import { required } from "../errors.ts";
import { openPlace, peakBytes, runJob, tell } from "./fresh-job.ts";
import { firstPrompt, type ModelJob, type ModelMessage } from "./measurement.ts";
import { measureModel, prefill, promptTokens } from "./model.ts";
import { fillSlot } from "./slot-file.ts";
import { now } from "./timing.ts";

await runJob(isJob, run);

async function run({ works, folder, ...place }: ModelJob): Promise<void> {
  const begin = now();
  const model = await openPlace(place);
  prefill(model, promptTokens(model, Math.min(firstPrompt, model.manifest.limits.context)), 0);
  const firstTokenSeconds = now() - begin;
  const chosen = required(model.variant, "variant");
  tell({ kind: "loaded", variant: chosen.name, isThreaded: chosen.threads, firstTokenSeconds } satisfies ModelMessage);
  for (const work of works) {
    if (work.depth > 0) fillSlot(model, work.depth, `${folder}/${work.depth}`);
    tell({ kind: "measured", work, speed: measureModel(model, work), peakBytes: peakBytes() } satisfies ModelMessage);
  }
  await model.dispose();
}

/** Only `measureArtefact` starts this file. */
function isJob(value: unknown): value is ModelJob {
  return typeof value === "object" && value !== null && "works" in value;
}
