/**
 * The machine's roofs, as seen from where a model runs: the same engine or compiler, the same instructions, as many threads. Each is the best
 * of several runs: a roof is what the machine can do, not what it does beside other work.
 */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { internal, required } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { KernelCall } from "../native/kernels.ts";
import { instantiateKernels, type KernelFunction } from "./instance.ts";
import { dotRate, dotTiles, floatRate, floatTiles, streamRead, streamStepBytes, type RateKernel } from "./roof-kernels.ts";
import { now, samplesInTurn } from "./timing.ts";

export interface Roofs {
  /** Bytes a second of a plain read of a region larger than any cache. */
  readonly readBandwidth: number;
  /** Multiply-adds a second in registers: 8-bit activations with 4-bit weights in the variant's best atom, and f32. */
  readonly dotRate: number;
  readonly floatRate: number;
}

/** What the roofs are seen from. */
export interface RoofSetting {
  readonly target: Target;
  readonly variant: TargetVariant;
  readonly threads: number;
}

/** Larger than the last-level cache of any machine that lends few of its cores. */
const streamedBytes = 256 * 2 ** 20;
const patience = { least: 5, most: 20, seconds: 0.6 };

/** Measures them; takes some seconds, and 256 MB while it runs. */
export async function measureRoofs(setting: RoofSetting): Promise<Roofs> {
  const { variant } = setting;
  const atom = required(variant.atoms[0], `dot atom of ${variant.name}`);
  return {
    readBandwidth: await readBandwidth(setting),
    dotRate: await bestRate(
      setting,
      dotTiles.map((tiles) => dotRate(atom, tiles)),
    ),
    floatRate: await bestRate(setting, floatTiles.map(floatRate)),
  };
}

async function bestRate(setting: RoofSetting, kernels: readonly RateKernel[]): Promise<number> {
  let best = 0;
  for (const kernel of kernels) best = Math.max(best, await rateOf(setting, kernel));
  return best;
}

/** A kernel over `bytes` of memory, and what its functions know the first byte as. */
async function functionOf({ target, variant }: RoofSetting, kernel: Kernel, bytes: number): Promise<{ run: KernelFunction; base: number }> {
  const { functions, base } = await instantiateKernels(target, variant, [kernel], bytes);
  return { run: required(functions.get(kernel.name), kernel.name), base };
}

/** Every thread reads its share and writes where no other does. */
async function readBandwidth(setting: RoofSetting): Promise<number> {
  const { threads } = setting;
  const { run, base } = await functionOf(setting, streamRead(), streamedBytes + threads * streamStepBytes);
  const steps = Math.floor(streamedBytes / streamStepBytes / threads);
  const calls = Array.from({ length: threads }, (_, thread): KernelCall => {
    return [base + thread * steps * streamStepBytes, base + streamedBytes + thread * streamStepBytes, steps];
  });
  return (threads * steps * streamStepBytes) / (await bestSeconds(run, calls));
}

/** Long enough that starting threads takes no part in it. */
const leastSeconds = 0.02;
const fewestSteps = 1 << 16;
const mostSteps = 1 << 29;
/** Of one thread: what the kernel reads, and half way on what it writes; an atom of sixteen rows writes eight times sixteen of them. */
const rateBytes = 65536;

async function rateOf(setting: RoofSetting, { kernel, macsPerStep }: RateKernel): Promise<number> {
  const { threads } = setting;
  const { run, base } = await functionOf(setting, kernel, threads * rateBytes);
  const callsOf = (steps: number): readonly KernelCall[] =>
    Array.from({ length: threads }, (_, thread): KernelCall => {
      const from = base + thread * rateBytes;
      return [from, from + rateBytes / 2, steps];
    });
  let steps = fewestSteps;
  while (steps < mostSteps && (await secondsOfCalls(run, callsOf(steps))) < leastSeconds) steps *= 2;
  return (threads * steps * macsPerStep) / (await bestSeconds(run, callsOf(steps)));
}

/** Least seconds that the calls take, all at once, after runs that let an engine's optimising compiler step in. */
async function bestSeconds(run: KernelFunction, calls: readonly KernelCall[]): Promise<number> {
  const runOnce = (): Promise<number> => secondsOfCalls(run, calls);
  await samplesInTurn({ least: 1, most: 10_000, seconds: 0.2 }, runOnce);
  return Math.min(...(await samplesInTurn(patience, runOnce)));
}

async function secondsOfCalls(run: KernelFunction, calls: readonly KernelCall[]): Promise<number> {
  const begin = now();
  await runCalls(run, calls);
  return now() - begin;
}

async function runCalls(run: KernelFunction, calls: readonly KernelCall[]): Promise<void> {
  const [only, ...more] = calls;
  if (only && more.length === 0) run.call(only);
  else await (run.together?.(calls) ?? internal("kernels of one thread cannot run together"));
}
