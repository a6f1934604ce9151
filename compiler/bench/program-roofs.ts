/** The machine's roofs on one thread, found by a program of their own: no code runs in this process, so it may be another machine's. */
import { required } from "../errors.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { Step } from "../plan/program.ts";
import { dotRate, dotTiles, floatRate, floatTiles, streamCounts, streamRead, streamStepBytes, type RateKernel } from "./roof-kernels.ts";
import { rateBytes, streamedBytes, type Roofs } from "./roofs.ts";
import { timeSteps, type TimerSetting } from "./step-timer.ts";
import type { Patience } from "./timing.ts";

const usualPatience: Patience = { least: 3, most: 30, seconds: 2 };
/** Of a kernel that multiplies: some 0.1 ms with the widest registers, a thousand times the clock's grain. */
const rateSteps = 1 << 14;
const noRows = { rows: 0, logits: 0, position: 0 };

/** Measures them in some seconds, or as `patience` says; the program takes 256 MB while it runs. */
export async function programRoofs(setting: TimerSetting, patience: Patience = usualPatience): Promise<Roofs> {
  const { variant } = setting;
  const atom = required(variant.atoms[0], `dot atom of ${variant.name}`);
  const streams = streamCounts.map(readPart);
  const dots = dotTiles.map((tiles) => ratePart(dotRate(atom, tiles)));
  const floats = floatTiles.map((tiles) => ratePart(floatRate(tiles)));
  const parts = [...streams, ...dots, ...floats];
  const bytes = { memory: streamedBytes + rateBytes, weights: 0, thread: 0 };
  const timed = { kernels: parts.map(({ kernel }) => kernel), steps: parts.map(stepOf), bytes, rowsOffset: 0 };
  const times = await timeSteps(setting, timed, noRows, patience);
  const rates = parts.map(({ work }, i) => work / required(times[i], "time").least);
  const best = (of: readonly Part[]): number => Math.max(...of.map((part) => required(rates[parts.indexOf(part)], "rate")));
  return { readBandwidth: best(streams), dotRate: best(dots), floatRate: best(floats) };
}

/** A kernel of roof-kernels, called once a pass. */
interface Part {
  readonly kernel: Kernel;
  readonly from: number;
  readonly out: number;
  readonly steps: number;
  /** Bytes or multiply-adds of the call. */
  readonly work: number;
}

function readPart(streams: number): Part {
  const steps = Math.floor(streamedBytes / streamStepBytes / streams);
  return { kernel: streamRead(streams), from: 0, out: streamedBytes, steps, work: steps * streams * streamStepBytes };
}

function ratePart({ kernel, macsPerStep }: RateKernel): Part {
  const from = streamedBytes;
  return { kernel, from, out: from + rateBytes / 2, steps: rateSteps, work: rateSteps * macsPerStep };
}

/** The kernels take two addresses and how many steps to run, which are the step's units. */
function stepOf({ kernel: { name }, from, out, steps }: Part): Step {
  const at = (address: number, note: string) => ({ kind: "address", space: "memory", address, note }) as const;
  return { kernel: name, label: name, arguments: [at(from, "from"), at(out, "out"), { kind: "bound", of: "to" }], units: steps };
}
