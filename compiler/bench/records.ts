/** The records of `lfmc bench`: an artefact's speed, and the kernels', each next to the machine's roofs. */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Target, TargetVariant } from "../../targets/target.ts";
import { detectFeatures, type Manifest } from "../../runtime/index.ts";
import { LfmcError, required } from "../errors.ts";
import { findCompiler } from "../native/compiler.ts";
import { hasRunner } from "../native/executable.ts";
import { runsVariant } from "../native/processor.ts";
import { measureBarriers, type BarrierCost } from "./barriers.ts";
import { measurePlan, plansWith, type KernelFigure } from "./kernels.ts";
import { measureArtefact, type MeasuredWork, type Measurement, type ModelPlace } from "./measurement.ts";
import { checkFits, type ModelSpeed } from "./model.ts";
import { programRoofs } from "./program-roofs.ts";
import { measureRoofs, type Roofs } from "./roofs.ts";
import { decodeBytes, prefillMacs, tokenCost } from "./token-cost.ts";

/** One combination of threads, variant and depth. What barriers cost, only C tells. */
export interface BenchRecord extends ModelSpeed, Partial<BarrierCost> {
  readonly threads: number;
  readonly variant: string;
  readonly depth: number;
  /** From the call of load in a fresh process, files cached, to the first token after a prompt of 16; whatever the depth. */
  readonly firstTokenSeconds: number;
  /** Peak resident set of a process that loads the model and does this work and those of lesser depths before it. */
  readonly peakBytes: number;
  /** Bytes that a decoded token must read, on average over the decoded ones. */
  readonly bytesPerToken: number;
  /** Bytes a second of a plain read on as many threads, in the same engine or by the same compiler, of a region larger than the caches. */
  readonly readBandwidth: number;
  /** decodeTokensPerSecond * bytesPerToken / readBandwidth: above 1 only where the weights stay in a cache. */
  readonly roofRatio: number;
  /** Multiply-adds a second of prefill, in matrices, over their rate in registers. */
  readonly prefillRoofRatio: number;
  readonly engine: string;
  readonly cpu: string;
}

export interface ArtefactWork {
  readonly prompt: number;
  readonly decode: number;
  readonly depths: readonly number[];
  readonly threads: readonly number[];
}

/** An artefact, where its model is loaded from, and which variant. */
export interface MeasuredArtefact extends Omit<ModelPlace, "threads"> {
  readonly manifest: Manifest;
}

/** Called with what is being measured; null at the end. */
export type OnStage = (stage: string | null) => void;

/**
 * Measures the artefact on each number of threads, then the machine on as many. Throws run/context where the work does not fit the artefact, and
 * what `load` of the runtime throws.
 */
export async function artefactRecords(
  { manifest, ...place }: MeasuredArtefact,
  loadTarget: (name: Target["name"]) => Promise<Target>,
  { prompt, decode, depths, threads }: ArtefactWork,
  onStage: OnStage,
): Promise<readonly BenchRecord[]> {
  const works = depths.map((depth) => ({ prompt, decode, depth }));
  for (const work of works) checkFits(manifest, work);
  const target = await loadTarget(manifest.target);
  const folder = await mkdtemp(join(tmpdir(), "lfmc-bench-"));
  try {
    const measured = new Map<number, readonly BenchRecord[]>();
    // The most threads first: they are the fastest to fill the cache, for all.
    for (const count of new Set(threads.toSorted((a, b) => b - a))) {
      onStage(`loading, threads ${count}`);
      const measurement = await measureArtefact({ ...place, threads: count, works, folder }, ({ depth }) => {
        onStage(`measuring, threads ${count}, depth ${depth}`);
      });
      onStage(`measuring the machine, threads ${count}`);
      const variant = variantNamed(target, measurement);
      const roofs = await measureRoofs({ target, variant, threads: count });
      const barriers = barriersOf({ manifest, ...place }, variant, count);
      const setting = { manifest, threads: count, roofs, barriers, host: await host(target, variant) };
      measured.set(
        count,
        measurement.measured.map((each) => benchRecord(setting, measurement, each)),
      );
    }
    return threads.flatMap((count) => measured.get(count) ?? []);
  } finally {
    onStage(null);
    await rm(folder, { recursive: true });
  }
}

interface Setting {
  readonly manifest: Manifest;
  readonly threads: number;
  readonly roofs: Roofs;
  readonly barriers: BarrierCost | null;
  readonly host: Host;
}

/** null for a module. */
function barriersOf({ manifest, base, library }: MeasuredArtefact, { name: variant }: TargetVariant, threads: number): BarrierCost | null {
  if (library === null) return null;
  const weights = new URL(required(manifest.weights[0], "weights").path, base);
  return measureBarriers({ name: manifest.name, library: fileURLToPath(library), weights: fileURLToPath(weights), variant, threads });
}

function benchRecord(
  { manifest, threads, roofs, barriers, host: { engine, cpu } }: Setting,
  { variant, firstTokenSeconds }: Measurement,
  { work, speed: { prefillTokensPerSecond, decodeTokensPerSecond }, peakBytes }: MeasuredWork,
): BenchRecord {
  const cost = tokenCost(manifest);
  // The first decoded token sees itself and what is before it, and each of the others one position more.
  const bytesPerToken = decodeBytes(cost, work.depth + (work.decode + 1) / 2);
  const macRate = manifest.quantization.weights === "f32" ? roofs.floatRate : roofs.dotRate;
  return {
    threads,
    variant,
    depth: work.depth,
    prefillTokensPerSecond,
    decodeTokensPerSecond,
    firstTokenSeconds,
    peakBytes,
    bytesPerToken,
    readBandwidth: roofs.readBandwidth,
    roofRatio: (decodeTokensPerSecond * bytesPerToken) / roofs.readBandwidth,
    prefillRoofRatio: (prefillTokensPerSecond * prefillMacs(cost, work.prompt)) / macRate,
    ...barriers,
    engine,
    cpu,
  };
}

export async function inTurn<From, To>(items: readonly From[], work: (item: From) => Promise<To>): Promise<readonly To[]> {
  const results: To[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** What ran the code, and the processor, as far as the system tells. */
export interface Host {
  readonly engine: string;
  readonly cpu: string;
}

/** The engine of modules with its version; of C, the compiler and the variant before it. */
export async function host(target: Target, variant: TargetVariant): Promise<Host> {
  const { node, v8 } = process.versions;
  if (target.name === "wasm-simd") return { engine: `Node ${node}, V8 ${v8}`, cpu: processor() };
  const { engine, cpu } = await programHost(variant);
  return { engine: `${engine}, Node ${node}`, cpu };
}

/** Of a C program. */
async function programHost({ name }: TargetVariant): Promise<Host> {
  return { engine: `${(await findCompiler()).version}, C ${name}`, cpu: processor() };
}

function processor(): string {
  return cpus()[0]?.model.trim() ?? "unknown";
}

/** Roofs of a variant, and figures of the target's kernels. */
export interface VariantFigures {
  readonly variant: string;
  readonly host: Host;
  readonly roofs: Roofs;
  readonly figures: readonly KernelFigure[];
}

/** Which kernels to measure: all whose name holds `pattern`, of every variant or of the one called `variant`. */
export interface KernelWish {
  readonly pattern: string;
  readonly variant: string | null;
}

/**
 * Measures kernels on one thread, for every variant of the target that runs here; variants without one are left out. Throws native/machine where
 * none runs here.
 */
export async function kernelFigures(target: Target, wish: KernelWish, onStage: OnStage): Promise<readonly VariantFigures[]> {
  const { pattern } = wish;
  const measured = await inTurn(
    runnableVariants(target, wish.variant, runsAsProgram(target)),
    async (variant): Promise<readonly VariantFigures[]> => {
      const plans = plansWith(target, variant, pattern);
      if (plans.length === 0) return [];
      onStage(`measuring the machine, ${variant.name}`);
      const isModule = target.emitTimer === null;
      const roofs = await (isModule ? measureRoofs({ target, variant, threads: 1 }) : programRoofs({ target, variant }));
      onStage(`measuring kernels, ${variant.name}`);
      const figures = await inTurn(plans, (planned) => measurePlan(target, planned, roofs, pattern));
      return [
        { variant: variant.name, host: await (isModule ? host(target, variant) : programHost(variant)), roofs, figures: figures.flat() },
      ];
    },
  );
  onStage(null);
  return measured.flat();
}

/** The variants of one thread, or of any number, that `runs` holds for: all, or the one of that name. Throws native/machine where there is none. */
export function runnableVariants(target: Target, variant: string | null, runs = runsHere(target)): readonly TargetVariant[] {
  const runnable = target.variants.filter(runs).filter(({ name }) => variant === null || name === variant);
  if (runnable.length > 0) return runnable;
  throw new LfmcError("native/machine", `has no variant ${variant === null ? "" : `"${variant}" `}that this machine runs`, {
    subject: target.name,
    hint: `it has ${[...new Set(target.variants.map(({ name }) => name))].join(", ")}; choose another --target`,
  });
}

/** The same of programs. Which instructions an emulator runs, it alone knows. */
function runsAsProgram(target: Target): (variant: TargetVariant) => boolean {
  return target.emitTimer !== null && hasRunner() ? () => true : runsHere(target);
}

/** Whether this engine runs a variant's modules on one thread, or this processor its C. */
function runsHere(target: Target): (variant: TargetVariant) => boolean {
  if (target.name !== "wasm-simd") return ({ name }) => runsVariant(name);
  const features = detectFeatures();
  return (variant) => !variant.threads && variant.features.every((feature) => features.has(feature));
}

/** The target's variant that an artefact's is; a name stands for a variant of one thread and one of several, or for one that runs either. */
function variantNamed({ variants }: Target, { variant, isThreaded }: Measurement): TargetVariant {
  return required(
    variants.find(({ name, threads }) => name === variant && threads === isThreaded),
    `variant ${variant}`,
  );
}
