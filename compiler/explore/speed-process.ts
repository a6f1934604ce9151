/** The process that measures a candidate's speed, as an entry file: it imports the runtime and no compiler. */
import { openPlace, peakBytes, runJob, tell } from "../bench/fresh-job.ts";
import type { ModelPlace } from "../bench/measurement.ts";
import { measureSpeed } from "./speed.ts";

export interface SpeedJob extends ModelPlace {
  /** Tokens of the prompt. */
  readonly prompt: number;
}

await runJob(isJob, async ({ prompt, ...place }) => {
  const model = await openPlace(place);
  tell(measureSpeed(model, prompt, peakBytes));
  await model.dispose();
});

/** Only the laboratory starts this file. */
function isJob(value: unknown): value is SpeedJob {
  return typeof value === "object" && value !== null && "prompt" in value;
}
