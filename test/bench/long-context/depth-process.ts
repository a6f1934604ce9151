/** The process that decodes at rising depths, as an entry file: it imports the runtime and no compiler. */
import type { Model } from "../../../runtime/index.ts";
import { openPlace, peakBytes, runJob, tell } from "../../../compiler/bench/fresh-job.ts";
import { prefill, promptTokens, slot } from "../../../compiler/bench/model.ts";
import { fillSlotSynthetically } from "../../../compiler/bench/synthetic-slot.ts";
import { median, now, samplesOf, secondsOf, type Patience } from "../../../compiler/bench/timing.ts";
import { required } from "../../../compiler/errors.ts";
import type { DepthFigure, DepthJob } from "./depth-job.ts";

const mostTokens = 32;
const patience: Patience = { least: 5, most: 11, seconds: 2.5 };
/** Seconds until an engine's optimising compiler has surely replaced its first code. */
const warmSeconds = 1;

await runJob(isJob, async ({ depths, readsPrompt, sampleSeconds, ...place }) => {
  const model = await openPlace(place);
  if (!readsPrompt) fillSlotSynthetically(model);
  warmUp(model);
  let position = 0;
  for (const depth of depths) {
    if (readsPrompt) prefill(model, promptTokens(model, depth).slice(position), position);
    position = depth;
    tell({ depth, ...timesAt(model, depth, sampleSeconds), peakBytes: peakBytes() } satisfies DepthFigure);
  }
  await model.dispose();
});

function timesAt(model: Model, depth: number, sampleSeconds: number): Pick<DepthFigure, "seconds" | "spread"> {
  decode(model, depth, 1);
  const first = secondsOf(() => {
    decode(model, depth, 1);
  });
  const count = Math.max(1, Math.min(mostTokens, Math.round(sampleSeconds / first)));
  const samples = samplesOf(
    patience,
    () =>
      secondsOf(() => {
        decode(model, depth, count);
      }) / count,
  );
  return { seconds: median(samples), spread: (quantile(samples, 0.75) - quantile(samples, 0.25)) / median(samples) };
}

/** Decodes the last `count` of `depth` positions; tokens differ, and experts with them. */
function decode(model: Model, depth: number, count: number): void {
  for (const [i, token] of promptTokens(model, count).entries()) {
    model.choose([{ token, slot, position: depth - count + i, wantsLogits: true }]);
  }
}

function warmUp(model: Model): void {
  const begin = now();
  while (now() - begin < warmSeconds) decode(model, 1, 1);
}

function quantile(samples: readonly number[], part: number): number {
  return required(samples.toSorted((a, b) => a - b)[Math.round(part * (samples.length - 1))], "sample");
}

/** Only `measureDepths` starts this file. */
function isJob(value: unknown): value is DepthJob {
  return typeof value === "object" && value !== null && "depths" in value;
}
