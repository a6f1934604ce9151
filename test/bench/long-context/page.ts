/** The page of the study, made of its figures alone, so that it says what was found. */
import { required } from "../../../compiler/errors.ts";
import { median } from "../../../compiler/bench/timing.ts";
import { markdown } from "../markdown.ts";
import { leastAlone } from "./depth-job.ts";
import { findings, range } from "./findings.ts";
import type { Check, DepthPlan, Figures, MeasuredModel, ShapeFigures } from "./figures.ts";
import { measuredOf } from "./prediction.ts";
import { kinds } from "./study.ts";
import { timesOf, type Times } from "./times.ts";

/** The depths of the tables. */
const shownDepths = [1024, 4096, 32768, 131072] as const;
const kindNames = { ours: "LFM2", plain: "plain" } as const;

/** Markdown; the plots lie beside it as memory.svg and time.svg. */
export function page(figures: Figures): string {
  const { shapes, check } = figures;
  const native = timesOf(shapes, "c-x86");
  const module = timesOf(shapes, "wasm-simd");
  const measured = shapes.flatMap(({ models }) => kinds.flatMap((kind) => models[kind].measured));
  const parts = [
    "# Long context",
    "What LFM2's papers claim: since most layers are short convolutions, whose state does not grow, memory and time of a token stay nearly constant over the context. Here is how nearly: every published shape, compiled by lfmc, from 1k to 128k positions, beside a plain-attention model of the same size. `npm run bench:context` makes this page, its plots and `figures.json`.",
    "## What follows",
    ...findings(figures, native),
    "## Models",
    modelTable(shapes),
    "The plain model is the shape's config with attention in every layer, and dense feed-forwards as much wider as it takes to have the same number of parameters (a convolution has more weights than attention with few key heads); of a mixture the two dense layers make up for it, so that a token reads as many bytes of weights. Configs allow 128,000 positions, or 131,072; for this study all may have 131,072.",
    "## Memory",
    "![Memory over positions, a panel for each shape](memory.svg)",
    "A session's state, MB of 1,000,000 bytes: keys and values in f16, recent rows of the convolutions and their checkpoints. LFM2, plain, and how many times LFM2's the plain model's is.",
    memoryTable(shapes, ({ sessionBytes }) => sessionBytes),
    "The whole plan, MB: weights in q4_0, one session, logits and scratch.",
    memoryTable(shapes, ({ totalBytes }) => totalBytes),
    narrowNote(shapes),
    ...(measured.length > 0 ? [peakTable(shapes), peakNote] : []),
    ...(native ? timeParts(shapes, native, module) : []),
    "## How",
    ...methodParts(measured, check),
  ];
  return `${parts.join("\n\n")}\n`;
}

function modelTable(shapes: readonly ShapeFigures[]): string {
  const titles = ["shape", "attention layers", "parameters, M", "plain: parameters, M", "feed-forward", "plain: feed-forward"];
  const rows = shapes.map(({ names, models: { ours, plain } }) => [
    names.join(", "),
    `${ours.attentionLayers} of ${ours.layers}`,
    (ours.parameters / 1e6).toFixed(1),
    (plain.parameters / 1e6).toFixed(1),
    `${ours.feedForwardSize}`,
    `${plain.feedForwardSize}`,
  ]);
  return markdown(titles, rows);
}

function memoryTable(shapes: readonly ShapeFigures[], bytesOf: (plan: DepthPlan) => number): string {
  const titles = ["shape", ...shownDepths.map(kilo)];
  const rows = shapes.map(({ names, models }) => [
    names.join(", "),
    ...shownDepths.map((depth) => {
      const [ours, plain] = kinds.map((kind) => bytesOf(planAt(models[kind].plans, depth)));
      return beside(ours ?? 0, plain ?? 0, megabytes);
    }),
  ]);
  return markdown(titles, rows);
}

function narrowNote(shapes: readonly ShapeFigures[]): string {
  const plans = shapes.flatMap(({ models }) => kinds.map((kind) => planAt(models[kind].plans, 131072)));
  const parts = range(plans, ({ narrowSessionBytes, sessionBytes }) => narrowSessionBytes / sessionBytes, 2);
  return `With \`--kv q8_0\` a session of 128k positions takes ${parts} of that.`;
}

function peakTable(shapes: readonly ShapeFigures[]): string {
  const rows = shapes.flatMap(({ names, models }) =>
    kinds.flatMap((kind) =>
      models[kind].measured.map(({ target, context, planBytes, peakBytes: peak }) => {
        return [
          `${names.join(", ")}, ${kindNames[kind]}`,
          target,
          kilo(context),
          megabytes(planBytes),
          megabytes(peak),
          megabytes(peak - planBytes),
        ];
      }),
    ),
  );
  return markdown(["measured", "target", "compiled for", "plan, MB", "peak, MB", "more"], rows);
}

const peakNote =
  "Peak is the largest resident set of the process (VmHWM) once every position was filled; what it has more than the plan is Node, its heap and the module. A library sets its memory to zeros when it is loaded, so its process is as large from the first token on.";

function timeParts(shapes: readonly ShapeFigures[], native: Times, module: Times | null): readonly string[] {
  return [
    "## Time",
    "![Time of a token over positions, a panel for each shape](time.svg)",
    "Milliseconds to decode a token at the end of so many positions, C: LFM2, plain, and how many times LFM2's the plain model's is. Measured, or planned where it begins with ~.",
    timeTable(shapes, native),
    modelNote(native),
    ...unmeasuredNote(shapes),
    ...(module ? ["The same in WebAssembly, of the smaller shapes.", timeTable(shapes, module), modelNote(module)] : []),
  ];
}

/** Which shapes were planned alone. */
function unmeasuredNote(shapes: readonly ShapeFigures[]): readonly string[] {
  const unmeasured = shapes.filter(({ models }) => kinds.every((kind) => (measuredOf(models[kind], "c-x86")?.points ?? []).length === 0));
  const names = unmeasured.flatMap((shape) => shape.names).join(", ");
  return names === ""
    ? []
    : [`Not measured at all: ${names}. Of a mixture the weights that a token goes through count alone, as if they lay together.`];
}

function timeTable(shapes: readonly ShapeFigures[], times: Times): string {
  const rows = shapes.flatMap((shape) => {
    const [ours = [], plain = []] = kinds.map((kind) => times.of(shape, kind));
    if (ours.length === 0) return [];
    const cells = shownDepths.map((depth) => {
      const [a, b] = [ours, plain].map((points) => required(points.find((point) => point.depth === depth), "point")); // prettier-ignore
      return a && b ? `${timeText(a)} / ${timeText(b)} (${(b.seconds / a.seconds).toFixed(1)}x)` : "";
    });
    return [[shape.names.join(", "), ...cells]];
  });
  return markdown(["shape", ...shownDepths.map(kilo)], rows);
}

function timeText({ seconds, isMeasured }: { readonly seconds: number; readonly isMeasured: boolean }): string {
  const milliseconds = 1000 * seconds;
  return `${isMeasured ? "" : "~"}${milliseconds < 100 ? milliseconds.toFixed(1) : milliseconds.toFixed(0)}`;
}

function modelNote({ model }: Times): string {
  const { weightRate, cacheRate, medianError, largestError, pointCount } = model;
  return `Planned times are the bytes of weights that a token reads at ${giga(weightRate)} GB/s and the bytes of its keys and values at ${giga(cacheRate)} GB/s: the rates that fit the measured points best. Of shapes that were left out of the fit, each in turn, it is wrong by ${percent(medianError)} in the median and ${percent(largestError)} at most (${pointCount} points).`;
}

function methodParts(measured: readonly MeasuredModel[], check: Check | null): readonly string[] {
  const hosts = [...new Set(measured.map(({ target, variant, engine, cpu, threads, date }) => `${target} ${variant} in ${threads} threads: ${engine}; ${cpu}; ${date}.`))]; // prettier-ignore
  return [
    ...(hosts.length > 0 ? [hosts.map((host) => `- ${host}`).join("\n")] : []),
    `Weights are random, in q4_0, the cache is f16, an artefact is compiled for as many positions as fit (128k in C, what 4 GiB hold in WebAssembly), and a fresh process measures it alone: a sample is as many tokens as take 0.2 s, up to 32, all at the end of the depth; the median counts, of 7 samples during which others kept less than 0.15 cores busy; a depth at which there were not ${leastAlone} such counts as not measured. Planned memory is that of \`lfmc compile --dry-run\` for just so many positions.`,
    "Reading 128k tokens first would take hours and change nothing, since no instruction depends on a value: the state is filled with small pseudo-random numbers.",
    ...(check ? [checkNote(check)] : []),
    "Limits: one machine, whose memory other machines share; two threads; decoding alone (reading a prompt grows with the depth too, by attention's share of its multiplications); single sessions; the plain model is lfmc's own code with other layers, not another program.",
  ];
}

function checkNote({ shape, context, readSeconds, madeUpSeconds, peakBytes, planBytes }: Check): string {
  const [read, madeUp] = [median(readSeconds), median(madeUpSeconds)];
  const each = (seconds: readonly number[]): string => seconds.map((second) => (1000 * second).toFixed(2)).join(", ");
  return `That this is so was tried on ${shape}, compiled for ${kilo(context)}, in C: after ${kilo(context)} tokens that were really read a token took ${each(readSeconds)} ms in three processes, after made-up ones ${each(madeUpSeconds)} ms (medians differ by ${percent(Math.abs(madeUp / read - 1))}); the plan is ${megabytes(planBytes)} MB, the peak ${megabytes(peakBytes)}.`;
}

function planAt(plans: readonly DepthPlan[], depth: number): DepthPlan {
  return required(plans.find((plan) => plan.depth === depth), "plan"); // prettier-ignore
}

function beside(ours: number, plain: number, text: (value: number) => string): string {
  return `${text(ours)} / ${text(plain)} (${(plain / ours).toFixed(1)}x)`;
}

function kilo(positions: number): string {
  return `${positions / 1024}k`;
}

function megabytes(bytes: number): string {
  const megabyte = bytes / 1e6;
  return megabyte.toLocaleString("en", { maximumFractionDigits: megabyte < 100 ? 1 : 0 });
}

function giga(perSecond: number): string {
  return (perSecond / 1e9).toFixed(1);
}

function percent(part: number): string {
  return `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;
}
