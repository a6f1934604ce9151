/** The measured part of the study: which artefacts this machine holds, and what decoding takes in each. */
import { rm } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { host, runnableVariants } from "../../../compiler/bench/records.ts";
import { required } from "../../../compiler/errors.ts";
import { loadTarget } from "../../../compiler/targets.ts";
import { artefactIn, engineOf, threads, type Artefact } from "./artefact.ts";
import { isUndisturbed, measureDepths } from "./depth-job.ts";
import type { Check, MeasuredModel, ModelFigures, ShapeFigures } from "./figures.ts";
import { measuredOf, type Target } from "./prediction.ts";
import { depths, kinds, type Kind, type StudyShape } from "./study.ts";

/** Where artefacts lie, and whether they stay there. */
export interface Place {
  readonly folder: string;
  readonly isKept: boolean;
}

/** The part of this machine's memory that a model may fill: the system has its own needs. */
const largestPart = 0.75;
/** What 32-bit addresses reach: modules with wider ones are slower, and would not be the same at every depth. */
const narrowMemory = 2 ** 32;
/** Modules of larger models would take hours on such a machine. */
const largestModule = 400e6;
const sampleSeconds = 0.2;
const checkDepth = 4096;
/** Processes of either kind. */
const checkRounds = 3;

interface Setting {
  readonly kind: Kind;
  readonly target: Target;
  readonly context: number;
}

/** What can be measured of a shape: each model on each target, as far as its plan fits. */
export function settingsOf({ models }: Pick<ShapeFigures, "models">, memoryBytes: number): readonly Setting[] {
  const limits = { "c-x86": largestPart * memoryBytes, "wasm-simd": Math.min(largestPart * memoryBytes, narrowMemory) } as const;
  return (["c-x86", "wasm-simd"] as const).flatMap((target) =>
    kinds.flatMap((kind) => {
      const context = fittingContext(models[kind], limits[target]);
      const isWanted = target === "c-x86" || models[kind].parameters <= largestModule;
      return context !== null && isWanted ? [{ kind, target, context }] : [];
    }),
  );
}

function fittingContext({ plans }: ModelFigures, bytes: number): number | null {
  return plans.findLast(({ totalBytes }) => totalBytes <= bytes)?.depth ?? null;
}

/** Builds all that `measureShape` measures. */
export async function buildShape(shape: StudyShape, planned: ShapeFigures, place: Place): Promise<void> {
  for (const setting of settingsOf(planned, totalmem())) await artefactOf(shape, setting, place);
}

/** Measures what can be measured of a shape, but the points that `known` has already. `say` hears a line for each point. */
export async function measureShape(
  shape: StudyShape,
  known: ShapeFigures,
  place: Place,
  say: (line: string) => void,
): Promise<ShapeFigures> {
  let { models } = known;
  for (const setting of settingsOf(known, totalmem())) {
    const { kind, target, context } = setting;
    const earlier = measuredOf(models[kind], target);
    const wanted = depths.filter((depth) => depth <= context && !earlier?.points.some((point) => point.depth === depth));
    if (wanted.length === 0) continue;
    const measured = await measureArtefact(await artefactOf(shape, setting, place), setting, wanted, say);
    const others = models[kind].measured.filter((each) => each !== earlier);
    models = { ...models, [kind]: { ...models[kind], measured: [...others, joined(earlier, measured)] } };
    if (!place.isKept) await rm(folderOf(shape, kind, place), { recursive: true });
  }
  return { ...known, models };
}

/** What was measured of one artefact on two occasions. */
function joined(earlier: MeasuredModel | null, later: MeasuredModel): MeasuredModel {
  const points = [...(earlier?.points ?? []), ...later.points].toSorted((a, b) => a.depth - b.depth);
  return { ...later, points, peakBytes: Math.max(earlier?.peakBytes ?? 0, later.peakBytes) };
}

/** Decodes after prompts that were read and after such that were made up, in turn. */
export async function checkShape(shape: StudyShape, place: Place): Promise<Check> {
  const artefact = await artefactOf(shape, { kind: "ours", target: "c-x86", context: checkDepth }, place);
  const [readSeconds, madeUpSeconds, peaks]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < checkRounds; round++) {
    for (const readsPrompt of [true, false]) {
      const [figure] = await measureDepths({ ...artefact.place, depths: [checkDepth], readsPrompt, sampleSeconds }, () => undefined);
      const { seconds, peakBytes } = required(figure, "figure");
      (readsPrompt ? readSeconds : madeUpSeconds).push(seconds);
      peaks.push(peakBytes);
    }
  }
  const planBytes = planOf(artefact);
  return {
    shape: required(shape.names[0], "name"),
    context: checkDepth,
    planBytes,
    peakBytes: Math.max(...peaks),
    readSeconds,
    madeUpSeconds,
  };
}

async function measureArtefact(
  artefact: Artefact,
  { kind, target, context }: Setting,
  wanted: readonly number[],
  say: (line: string) => void,
): Promise<MeasuredModel> {
  const points = await measureDepths({ ...artefact.place, depths: wanted, readsPrompt: false, sampleSeconds }, (figure) => {
    const { depth, seconds, spread, aloneCount, peakBytes } = figure;
    say(
      `  ${target} ${kind} at ${depth}: ${(1000 * seconds).toFixed(2)} ms (spread ${spread.toFixed(2)}, ${aloneCount} samples undisturbed), ${(peakBytes / 1e6).toFixed(0)} MB`,
    );
  });
  const definition = await loadTarget(target);
  const variant = required(runnableVariants(definition, artefact.place.variant).at(-1), "variant");
  const date = new Date().toISOString().slice(0, 10);
  const { engine, cpu } = await host(definition, variant);
  const peakBytes = Math.max(...points.map((point) => point.peakBytes));
  const facts = { target, variant: variant.name, threads, engine, cpu, date, context, planBytes: planOf(artefact), peakBytes };
  return { ...facts, points: points.filter(isUndisturbed) };
}

/** Bytes of an artefact's plan in so many threads; a module's memory holds its weights. */
function planOf({ manifest: { memory } }: Artefact): number {
  return memory.bytes + threads * memory.threadBytes + (memory.weights.offset === 0 ? memory.weights.bytes : 0);
}

async function artefactOf(shape: StudyShape, { kind, target, context }: Setting, place: Place): Promise<Artefact> {
  return await artefactIn(folderOf(shape, kind, place), shape[kind], await engineOf(target), context);
}

function folderOf({ names }: StudyShape, kind: Kind, { folder }: Place): string {
  return join(folder, `${required(names[0], "name")}-${kind}`);
}
