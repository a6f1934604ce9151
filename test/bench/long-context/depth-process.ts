/** The process that decodes at rising depths, as an entry file: it imports the runtime and no compiler. */
import type { Model } from "../../../runtime/index.ts";
import { openPlace, peakBytes, runJob, tell } from "../../../compiler/bench/fresh-job.ts";
import { prefill, promptTokens, slot } from "../../../compiler/bench/model.ts";
import { fillSlotSynthetically } from "../../../compiler/bench/synthetic-slot.ts";
import { median, now, secondsOf } from "../../../compiler/bench/timing.ts";
import { required } from "../../../compiler/errors.ts";
import { othersSeconds } from "../busy.ts";
import { leastAlone, type DepthFigure, type DepthJob } from "./depth-job.ts";

const mostTokens = 32;
const leastSamples = 7;
/** Seconds in which enough samples must have come about. */
const patienceSeconds = 5;
/** Busy cores that count as none: /proc/stat counts in hundredths of a second. */
const quiet = 0.15;
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

function timesAt(model: Model, depth: number, sampleSeconds: number): Pick<DepthFigure, "seconds" | "spread" | "aloneCount"> {
  decode(model, depth, 1);
  const first = secondsOf(() => {
    decode(model, depth, 1);
  });
  const count = Math.max(1, Math.min(mostTokens, Math.round(sampleSeconds / first)));
  const samples: Sample[] = [];
  const alone: Sample[] = [];
  const begin = now();
  while (samples.length < leastSamples || (alone.length < leastSamples && now() - begin < patienceSeconds)) {
    const sample = sampleOf(model, depth, count);
    samples.push(sample);
    if (sample.othersShare < quiet) alone.push(sample);
  }
  const counted = (alone.length < leastAlone ? samples : alone).map(({ seconds }) => seconds);
  const spread = (quantile(counted, 0.75) - quantile(counted, 0.25)) / median(counted);
  return { seconds: median(counted), spread, aloneCount: alone.length };
}

/** Seconds of a token, and how many cores others kept busy meanwhile. */
interface Sample {
  readonly seconds: number;
  readonly othersShare: number;
}

function sampleOf(model: Model, depth: number, count: number): Sample {
  const before = othersSeconds();
  const seconds = secondsOf(() => {
    decode(model, depth, count);
  });
  return { seconds: seconds / count, othersShare: (othersSeconds() - before) / seconds };
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
