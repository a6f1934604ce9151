/**
 * The machine's roofs, as seen from where a model runs: the same engine, the same instructions, one thread. Each is the best of
 * several runs: a roof is what the machine can do, not what it does beside other work.
 */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { required } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import { instantiateKernels, type KernelFunction } from "./instance.ts";
import { dotRate, floatRate, streamRead, streamStepBytes, type RateKernel } from "./roof-kernels.ts";
import { now, samplesOf, secondsOf } from "./timing.ts";

export interface Roofs {
  /** Bytes a second of a plain read of a region larger than any cache. */
  readonly readBandwidth: number;
  /** Multiply-adds a second in registers: 8-bit activations with 4-bit weights in the variant's best atom, and f32. */
  readonly dotRate: number;
  readonly floatRate: number;
}

/** Larger than the last-level cache of any machine that lends few of its cores. */
const streamedBytes = 256 * 2 ** 20;
const patience = { least: 5, most: 20, seconds: 1.5 };

/** Measures them; takes some seconds, and 256 MB while it runs. */
export function measureRoofs(target: Target, variant: TargetVariant): Roofs {
  const atom = required(variant.atoms[0], `dot atom of ${variant.name}`);
  return { readBandwidth: readBandwidth(target), dotRate: rateOf(target, dotRate(atom)), floatRate: rateOf(target, floatRate()) };
}

function functionOf(target: Target, kernel: Kernel, bytes: number): KernelFunction {
  return required(instantiateKernels(target, [kernel], bytes).functions.get(kernel.name), kernel.name);
}

function readBandwidth(target: Target): number {
  const kernel = streamRead();
  const read = functionOf(target, kernel, streamedBytes + streamStepBytes);
  const steps = streamedBytes / streamStepBytes;
  const run = (): number =>
    secondsOf(() => {
      read(0, streamedBytes, steps);
    });
  // The engine's optimising compiler steps in after the first run.
  warmUp(run);
  return streamedBytes / Math.min(...samplesOf(patience, run));
}

const rateSteps = 1 << 20;

function rateOf(target: Target, { kernel, macsPerStep }: RateKernel): number {
  const multiply = functionOf(target, kernel, target.memory.page);
  const run = (): number =>
    secondsOf(() => {
      multiply(0, target.memory.page / 2, rateSteps);
    });
  warmUp(run);
  return (rateSteps * macsPerStep) / Math.min(...samplesOf(patience, run));
}

function warmUp(run: () => number): void {
  const begin = now();
  do run();
  while (now() - begin < 0.3);
}
