/**
 * The speed of a candidate's model, in the process that holds it alone: tokens decoded at the end of the context, and the prompt read from
 * position 0. Beside them a fixed piece of work is timed, which tells whether the machine was as fast then as at other times.
 */
import type { Model } from "../../runtime/index.ts";
import { prefill, promptTokens, slot } from "../bench/model.ts";
import { fillSlotSynthetically } from "../bench/synthetic-slot.ts";
import { median, now, secondsOf, type Patience } from "../bench/timing.ts";
import { required } from "../errors.ts";
import { calmSamples, quantile, type Reference } from "./calm-samples.ts";
import type { Measured } from "./types.ts";

/** A model's speed, and what a fixed piece of work took meanwhile: medians. */
export interface Speed extends Pick<Measured, "decodeMs" | "decodeSpread" | "prefillMs" | "peakBytes"> {
  readonly reference: Reference;
}

/** Seconds in which an engine's optimising compiler has surely replaced the first code of kernels that run all the time. */
const warmSeconds = 0.7;
/** The last positions of the context, which a pass decodes one after the other. */
const lastPositions = 16;
/** Seconds that the passes of a sample take at least. */
const sampleSeconds = 0.04;
const decodePatience: Patience = { least: 11, most: 40, seconds: 2.5 };
/** Of a chunk of the prompt. */
const chunkPatience: Patience = { least: 3, most: 9, seconds: 0.6 };
/** Numbers that the fixed piece of work adds up: 16 MB, which lie where a model's weights do, behind the core's own caches. */
const referenceNumbers = 2 ** 21;
/** How often: about 10 ms, long enough that it is interrupted where samples are, by whatever else wants the core. */
const referencePasses = 6;

/**
 * Measures `model`, whose slot it overwrites, with a prompt that fits the context. `peakBytes` is asked once the model has done both kinds of
 * work, and before anything is held that is not the model's.
 */
export function measureSpeed(model: Model, promptLength: number, peakBytes: () => number): Speed {
  fillSlotSynthetically(model);
  const decode = decodingPass(model);
  warmUp(model, decode);
  const passes = Math.ceil(sampleSeconds / (decode() * lastPositions));
  const peak = peakBytes();
  const reference = referenceWork();
  const tokens = calmSamples(decodePatience, () => meanOf(passes, decode), reference);
  const chunks = chunksOf(model, promptLength).map((read) => calmSamples(chunkPatience, () => secondsOf(read), reference));
  const middle = median(tokens.samples);
  const references = [tokens, ...chunks].flatMap((each) => each.references);
  return {
    decodeMs: 1000 * middle,
    decodeSpread: (quantile(tokens.samples, 0.9) - quantile(tokens.samples, 0.1)) / middle,
    prefillMs: 1000 * chunks.reduce((sum, { samples }) => sum + median(samples), 0),
    peakBytes: peak,
    reference: {
      seconds: median(references.map(({ seconds }) => seconds)),
      processorSeconds: median(references.map(({ processorSeconds }) => processorSeconds)),
    },
  };
}

/** A function that decodes the last positions of the context once: mean seconds of a token. Tokens differ from pass to pass, and experts with them. */
function decodingPass(model: Model): () => number {
  const { context } = model.manifest.limits;
  const count = Math.min(lastPositions, context);
  const tokens = promptTokens(model, model.manifest.model.vocabSize);
  let next = 0;
  return () =>
    secondsOf(() => {
      for (let position = context - count; position < context; position++) {
        const token = required(tokens[next++ % tokens.length], "token");
        model.choose([{ token, slot, position, wantsLogits: true }]);
      }
    }) / count;
}

/** Functions that read the prompt's chunks, each from its own place: short times are disturbed less often than long ones. */
function chunksOf(model: Model, promptLength: number): readonly (() => void)[] {
  const { prefillChunk } = model.manifest.limits;
  const prompt = promptTokens(model, promptLength);
  return Array.from({ length: Math.ceil(promptLength / prefillChunk) }, (_, i) => {
    const start = i * prefillChunk;
    const tokens = prompt.slice(start, start + prefillChunk);
    return () => {
      prefill(model, tokens, start, promptLength);
    };
  });
}

function warmUp(model: Model, decode: () => number): void {
  const { prefillChunk } = model.manifest.limits;
  const chunk = promptTokens(model, prefillChunk);
  const begin = now();
  do {
    prefill(model, chunk, 0);
    decode();
  } while (now() - begin < warmSeconds);
}

function meanOf(count: number, figure: () => number): number {
  const values = Array.from({ length: count }, figure);
  return values.reduce((sum, value) => sum + value, 0) / count;
}

/** A function that reads memory as decoding does, and says what that took. Its result is looked at, so that no engine leaves it out. */
function referenceWork(): () => Reference {
  const numbers = new Float64Array(referenceNumbers).fill(1);
  const run = (): void => {
    let sum = 0;
    for (let pass = 0; pass < referencePasses; pass++) sum += total(numbers);
    if (sum !== referencePasses * referenceNumbers) throw new RangeError("the sum of ones is wrong");
  };
  run();
  return () => {
    const before = process.cpuUsage();
    const seconds = secondsOf(run);
    const { user, system } = process.cpuUsage(before);
    return { seconds, processorSeconds: (user + system) / 1e6 };
  };
}

/** Four sums beside each other, which do not wait for one another but for the memory. */
function total(numbers: Float64Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i + 3 < numbers.length; i += 4) {
    a += numbers[i] ?? 0;
    b += numbers[i + 1] ?? 0;
    c += numbers[i + 2] ?? 0;
    d += numbers[i + 3] ?? 0;
  }
  return a + b + c + d;
}
