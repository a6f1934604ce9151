/** The records of `lfmc bench`: an artefact's speed, and the kernels', each next to the machine's roofs. */
import { cpus } from "node:os";
import type { Target, TargetVariant } from "../../targets/target.ts";
import { detectFeatures, type Manifest, type Model } from "../../runtime/index.ts";
import { LfmcError, required } from "../errors.ts";
import { findCompiler } from "../native/compiler.ts";
import { runsVariant } from "../native/processor.ts";
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
  loadTarget: (name: Target["name"]) => Promise<Target>,
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
  const records = await inTurn(settingsOf(measured), async ({ target: name, ...setting }) => {
    const target = await loadTarget(name);
    const variant = variantNamed(target, setting.variant);
    const roofs = await measureRoofs({ target, variant, threads: setting.threads });
    const { engine, cpu } = await host(target, variant);
    return setting.measured.map((each) => benchRecord(each, roofs, { engine, cpu }));
  });
  onStage(null);
  return records.flat();
}

interface Setting {
  readonly target: Target["name"];
  readonly variant: string;
  readonly threads: number;
  readonly measured: readonly Measured[];
}

/** What was measured on as many threads of one variant has the same roofs. */
function settingsOf(measured: readonly Measured[]): readonly Setting[] {
  const keyOf = ({ variant, threads }: Measured): string => `${variant} ${threads}`;
  return [...new Set(measured.map(keyOf))].map((key) => {
    const group = measured.filter((each) => keyOf(each) === key);
    const { variant, threads, manifest } = required(group[0], "measurement");
    return { target: manifest.target, variant, threads, measured: group };
  });
}

async function inTurn<From, To>(items: readonly From[], work: (item: From) => Promise<To>): Promise<readonly To[]> {
  const results: To[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

function benchRecord({ threads, variant, manifest, work, peakBytes, ...speed }: Measured, roofs: Roofs, host: Host): BenchRecord {
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
    ...host,
  };
}

/** What ran the code, and the processor, as far as the system tells. */
export interface Host {
  readonly engine: string;
  readonly cpu: string;
}

/** The engine of modules with its version; of C, the compiler and the variant before it. */
export async function host(target: Target, variant: TargetVariant): Promise<Host> {
  const { node, v8 } = process.versions;
  const cpu = cpus()[0]?.model.trim() ?? "unknown";
  if (target.name === "wasm-simd") return { engine: `Node ${node}, V8 ${v8}`, cpu };
  return { engine: `${(await findCompiler()).version}, C ${variant.name}, Node ${node}`, cpu };
}

/** Roofs of a variant, and figures of the target's kernels. */
export interface VariantFigures {
  readonly variant: string;
  readonly host: Host;
  readonly roofs: Roofs;
  readonly figures: readonly KernelFigure[];
}

/** Measures the kernels whose name holds `pattern`, for every variant of the target that runs here; variants without one are left out. */
export async function kernelFigures(target: Target, pattern: string, onStage: OnStage): Promise<readonly VariantFigures[]> {
  const runnable = target.variants.filter(runsHere(target));
  if (runnable.length === 0) {
    throw new LfmcError("native/machine", "has no variant that this machine runs", {
      subject: target.name,
      hint: "choose another --target",
    });
  }
  const measured = await inTurn(runnable, async (variant): Promise<readonly VariantFigures[]> => {
    const plans = plansWith(target, variant, pattern);
    if (plans.length === 0) return [];
    onStage(`measuring the machine, ${variant.name}`);
    const roofs = await measureRoofs({ target, variant, threads: 1 });
    onStage(`measuring kernels, ${variant.name}`);
    const figures = await inTurn(plans, (planned) => measurePlan(target, planned, roofs, pattern));
    return [{ variant: variant.name, host: await host(target, variant), roofs, figures: figures.flat() }];
  });
  onStage(null);
  return measured.flat();
}

/** Whether this engine runs a variant's modules on one thread, or this processor its C. */
function runsHere(target: Target): (variant: TargetVariant) => boolean {
  if (target.name !== "wasm-simd") return ({ name }) => runsVariant(name);
  const features = detectFeatures();
  return (variant) => !variant.threads && variant.features.every((feature) => features.has(feature));
}

function variantNamed({ variants }: Target, name: string): TargetVariant {
  return required(
    variants.find((variant) => variant.name === name),
    `variant ${name}`,
  );
}
