/**
 * The machine's roofs, as seen from where a model runs: the same engine or compiler, the same instructions, as many threads. Each is the best
 * of several runs: a roof is what the machine can do, not what it does beside other work.
 */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { internal, required } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { KernelCall } from "../native/kernels.ts";
import { instantiateKernels, type KernelFunction, type KernelInstance } from "./instance.ts";
import { dotRate, dotTiles, floatRate, floatTiles, streamCounts, streamRead, streamStepBytes, type RateKernel } from "./roof-kernels.ts";
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
export const streamedBytes = 256 * 2 ** 20;
const patience = { least: 5, most: 12, seconds: 0.3 };

/** Measures them; takes some seconds, and 256 MB while it runs. */
export async function measureRoofs({ target, variant, threads }: RoofSetting): Promise<Roofs> {
  const atom = required(variant.atoms[0], `dot atom of ${variant.name}`);
  const streams = streamCounts.map((count) => ({ count, kernel: streamRead(count) }));
  const dots = dotTiles.map((tiles) => dotRate(atom, tiles));
  const floats = floatTiles.map(floatRate);
  const kernels = [...streams, ...dots, ...floats].map(({ kernel }) => kernel);
  const machine = await instantiateKernels(target, variant, kernels, streamedBytes + threads * rateBytes, threads);
  const best = async <T>(each: readonly T[], rate: (item: T) => Promise<number>): Promise<number> => {
    let most = 0;
    for (const item of each) most = Math.max(most, await rate(item));
    return most;
  };
  const roofs = {
    readBandwidth: await best(streams, ({ kernel, count }) => readRate(functionOf(machine, kernel), machine.base, threads, count)),
    dotRate: await best(dots, (rate) => multiplyRate(functionOf(machine, rate.kernel), machine.base, threads, rate)),
    floatRate: await best(floats, (rate) => multiplyRate(functionOf(machine, rate.kernel), machine.base, threads, rate)),
  };
  await machine.close();
  return roofs;
}

function functionOf({ functions }: KernelInstance, { name }: Kernel): KernelFunction {
  return required(functions.get(name), name);
}

/** Bytes a second. Every thread reads its share, as so many streams, and writes where no other does. */
async function readRate(run: KernelFunction, base: number, threads: number, streams: number): Promise<number> {
  const steps = Math.floor(streamedBytes / streamStepBytes / threads / streams);
  const share = steps * streams * streamStepBytes;
  const calls = Array.from({ length: threads }, (_, thread): KernelCall => {
    return [base + thread * share, base + streamedBytes + thread * rateBytes, steps];
  });
  return (threads * share) / (await bestSeconds(run, calls));
}

/** Long enough that waking threads takes no part in it. */
const leastSeconds = 0.02;
const fewestSteps = 1 << 16;
const mostSteps = 1 << 29;
/** Of one thread: what a kernel reads, and half way on what it writes; an atom of sixteen rows writes eight times sixteen of them. */
export const rateBytes = 65536;

/** Multiply-adds a second. */
async function multiplyRate(run: KernelFunction, base: number, threads: number, { macsPerStep }: RateKernel): Promise<number> {
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
  await samplesInTurn({ least: 1, most: 10_000, seconds: 0.15 }, runOnce);
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
