/** The records of `lfmc bench`: an artefact's speed, and the kernels', each next to the machine's roofs. */
import { cpus } from "node:os";
import type { Target, TargetVariant } from "../../targets/target.ts";
import { detectFeatures, type Manifest, type Model } from "../../runtime/index.ts";
import { required } from "../errors.ts";
import { measurePlan, plansWith, type KernelFigure } from "./kernels.ts";
import { measureModel, type ModelSpeed, type ModelWork } from "./model.ts";
import { measureRoofs, type Roofs } from "./roofs.ts";
import { decodeBytes, prefillMacs, tokenCost } from "./token-cost.ts";

/** One combination of threads, variant and depth. */
export interface BenchRecord extends ModelSpeed {
  readonly threads: number;
  readonly variant: string;
  readonly depth: number;
  /** Peak resident set of the whole process until then: weights, engine, compiled code; not the memory that the roofs are measured on. */
  readonly peakBytes: number;
  /** Bytes that a decoded token must read, on average over the decoded ones. */
  readonly bytesPerToken: number;
  /** Bytes a second of a plain read in the same engine, of a region larger than the caches. */
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

/** Called with what is being measured; null at the end. */
export type OnStage = (stage: string | null) => void;

interface Measured extends ModelSpeed {
  readonly threads: number;
  readonly variant: string;
  readonly manifest: Manifest;
  readonly work: ModelWork;
  readonly peakBytes: number;
}

/** Measures the models that `open` gives for each number of threads, then the machine. Throws what `open` and measureModel do. */
export async function artefactRecords(
  open: (threads: number) => Promise<Model>,
  target: Target,
  { prompt, decode, depths, threads }: ArtefactWork,
  onStage: OnStage,
): Promise<readonly BenchRecord[]> {
  const measured: Measured[] = [];
  for (const count of threads) {
    const model = await open(count);
    const variant = required(model.variant, "variant").name;
    for (const depth of depths) {
      onStage(`measuring ${variant}, threads ${count}, depth ${depth}`);
      const work = { prompt, decode, depth };
      const speed = measureModel(model, work);
      measured.push({
        ...speed,
        threads: count,
        variant,
        manifest: model.manifest,
        work,
        peakBytes: process.resourceUsage().maxRSS * 1024,
      });
    }
    await model.dispose();
  }
  onStage("measuring the machine");
  const roofs = new Map(
    [...new Set(measured.map(({ variant }) => variant))].map((name) => [name, measureRoofs(target, variantNamed(target, name))]),
  );
  onStage(null);
  return measured.map((each) => benchRecord(each, required(roofs.get(each.variant), "roofs")));
}

function benchRecord({ threads, variant, manifest, work, peakBytes, ...speed }: Measured, roofs: Roofs): BenchRecord {
  const cost = tokenCost(manifest);
  // The first decoded token sees itself and what is before it, and each of the others one position more.
  const bytesPerToken = decodeBytes(cost, work.depth + (work.decode + 1) / 2);
  const macRate = manifest.quantization.weights === "f32" ? roofs.floatRate : roofs.dotRate;
  return {
    threads,
    variant,
    depth: work.depth,
    ...speed,
    peakBytes,
    bytesPerToken,
    readBandwidth: roofs.readBandwidth,
    roofRatio: (speed.decodeTokensPerSecond * bytesPerToken) / roofs.readBandwidth,
    prefillRoofRatio: (speed.prefillTokensPerSecond * prefillMacs(cost, work.prompt)) / macRate,
    ...host(),
  };
}

/** The engine with its version, and the processor, as far as the system tells. */
export function host(): { readonly engine: string; readonly cpu: string } {
  const { node, v8 } = process.versions;
  return { engine: `Node ${node}, V8 ${v8}`, cpu: cpus()[0]?.model.trim() ?? "unknown" };
}

/** Roofs of a variant, and figures of the target's kernels. */
export interface VariantFigures {
  readonly variant: string;
  readonly roofs: Roofs;
  readonly figures: readonly KernelFigure[];
}

/** Measures the kernels whose name holds `pattern`, for every variant of the target that this engine runs; variants without one are left out. */
export function kernelFigures(target: Target, pattern: string, onStage: OnStage): readonly VariantFigures[] {
  const features = detectFeatures();
  const runnable = target.variants.filter((variant) => !variant.threads && variant.features.every((feature) => features.has(feature)));
  const measured = runnable.flatMap((variant): readonly VariantFigures[] => {
    const plans = plansWith(target, variant, pattern);
    if (plans.length === 0) return [];
    onStage(`measuring the machine, ${variant.name}`);
    const roofs = measureRoofs(target, variant);
    onStage(`measuring kernels, ${variant.name}`);
    return [{ variant: variant.name, roofs, figures: plans.flatMap((planned) => measurePlan(target, planned, roofs, pattern)) }];
  });
  onStage(null);
  return measured;
}

function variantNamed({ variants }: Target, name: string): TargetVariant {
  return required(
    variants.find((variant) => variant.name === name),
    `variant ${name}`,
  );
}
