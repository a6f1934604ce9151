/**
 * The speed of single kernels, measured where they work: whole plans run step by step, each call timed alone, so that every kernel finds
 * the caches as the forward pass leaves them (weights of a large model come from memory, its activations from the nearest cache).
 */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { required } from "../errors.ts";
import type { KernelCall } from "../native/kernels.ts";
import { roundUp } from "../numeric/quantize.ts";
import { rowBytes } from "../kernel/library/rows.ts";
import type { CompileOptions } from "../options.ts";
import { draftPrograms } from "../pipeline.ts";
import type { Program, Space, Step, StepArgument } from "../plan/program.ts";
import { instantiateKernels, type KernelInstance } from "./instance.ts";
import { kernelCost, rowsOfStep, unitCount, type CallRows, type CostContext } from "./kernel-cost.ts";
import type { Roofs } from "./roofs.ts";
import { benchShapes, type BenchShape } from "./shapes.ts";
import { timeSteps } from "./step-timer.ts";
import { median, now, samplesOf, type Patience } from "./timing.ts";

/** A kernel at one shape: medians over passes of the mean over its calls in a pass. */
export interface KernelRecord {
  readonly kernel: string;
  readonly target: string;
  readonly variant: string;
  /** Model, encoding, rows, position of the last row, calls in a forward pass. */
  readonly shape: string;
  /** Of one call. */
  readonly seconds: number;
  /** Touched by one call: weights and activations, once each. */
  readonly bytes: number;
  readonly macs: number;
  readonly gbPerSecond: number;
  readonly gmacPerSecond: number;
  /** The least time that memory or multiplication allow, whichever is longer, over the time taken. */
  readonly roofRatio: number;
}

/** The record and its place in the forward pass, for the table. */
export interface KernelFigure {
  readonly record: KernelRecord;
  readonly model: string;
  readonly rows: number;
  readonly calls: number;
  /** Of the whole forward pass's time. */
  readonly share: number;
}

/** Where the last row of a call lies in its sequence. */
const position = 511;
const context = 1024;
const spaceAlignment = 64;
const usualPatience: Patience = { least: 3, most: 30, seconds: 2 };

/** A shape with its plan for one variant. */
interface Planned extends CostContext {
  readonly model: string;
  readonly variant: TargetVariant;
  /** Rows of the calls to measure. */
  readonly rows: readonly number[];
}

/** The plans of `shapes` that hold a kernel whose name holds `pattern`; nothing is measured yet. */
export function plansWith(
  target: Target,
  variant: TargetVariant,
  pattern: string,
  shapes: readonly BenchShape[] = benchShapes,
): readonly Planned[] {
  const plans = shapes.flatMap(({ model, quants, rows }) =>
    quants.map((quant): Planned => {
      const options: CompileOptions = { model: model.name, target: target.name, quant, context, prefillChunk: 64 };
      const { graph, constants, programs } = draftPrograms(model, { ...target, variants: [variant] }, options);
      const { program } = required(programs[0], `program of ${variant.name}`);
      return { model: `${model.name} ${quant}`, variant, rows, graph, constants, program };
    }),
  );
  return plans.filter(({ program }) => program.kernels.some(({ name }) => name.includes(pattern)));
}

/** Measures the kernels of a plan whose name holds `pattern`; in C `patience` says how long. */
export async function measurePlan(
  target: Target,
  planned: Planned,
  roofs: Roofs,
  pattern: string,
  patience: Patience = usualPatience,
): Promise<readonly KernelFigure[]> {
  const secondsOf = target.emitTimer === null ? await moduleTimer(target, planned) : programTimer(target, planned, patience);
  const figures: KernelFigure[] = [];
  for (const rows of planned.rows) {
    const call: CallRows = { rows, logits: 1, position };
    figures.push(...figuresOf(target, planned, roofs, call, await secondsOf(call)));
  }
  return figures.filter(({ record }) => record.kernel.includes(pattern));
}

/** Median seconds of every step of a call, over whole passes. */
type CallTimer = (call: CallRows) => Promise<readonly number[]>;

/** Steps in a program of their own. */
function programTimer(target: Target, { program, variant }: Planned, patience: Patience): CallTimer {
  const { kernels, steps, memory } = program;
  const bytes = { memory: memory.bytes, weights: memory.weights.bytes, thread: memory.threadBytes };
  const timed = { kernels, steps, bytes, rowsOffset: memory.rows.offset };
  return async (call) => (await timeSteps({ target, variant }, timed, call, patience)).map(({ median }) => median);
}

/** Steps called from here, in one instance of the kernels' module. */
async function moduleTimer(target: Target, { program, variant }: Planned): Promise<CallTimer> {
  const starts = spaceStarts(target, program);
  const machine = await instantiateKernels(target, variant, program.kernels, starts.end);
  return (call) => {
    writeRows(machine.memory, program, call);
    const argumentsOf = (step: Step) => step.arguments.map((argument) => valueOf(argument, step, call, machine.base, starts));
    return Promise.resolve(passTimes(program, machine, argumentsOf));
  };
}

/** Where each space begins in the one memory that bare kernels run on, and where the last ends. */
export type SpaceStarts = Readonly<Record<Space | "end", number>>;

/** The spaces of a program, one after the other. */
export function spaceStarts(target: Target, { memory }: Program): SpaceStarts {
  const thread = roundUp(memory.bytes, spaceAlignment);
  const weights = thread + roundUp(memory.threadBytes, spaceAlignment);
  return { memory: 0, thread, weights, end: weights + (target.weights.place === "apart" ? memory.weights.bytes : 0) };
}

/** An argument of a step whose units one thread does all; `base` is the address of the memory. */
export function valueOf(argument: StepArgument, { units }: Step, call: CallRows, base: number, starts: SpaceStarts): number {
  switch (argument.kind) {
    case "address":
      return base + starts[argument.space] + argument.address;
    case "count":
      return call[argument.of];
    case "bound":
      return argument.of === "from" ? 0 : unitCount(units, call);
  }
}

/** Rows of slot 0 that end at the call's position; the last ones want logits. */
function writeRows({ buffer, byteOffset }: Uint8Array, program: Program, { rows, logits, position }: CallRows): void {
  const view = new DataView(buffer, byteOffset + program.memory.rows.offset);
  for (let row = 0; row < rows; row++) {
    const fields = [row, 0, position - rows + 1 + row, row >= rows - logits ? 1 : 0];
    fields.forEach((field, i) => {
      view.setInt32(row * rowBytes + i * 4, field, true);
    });
  }
}

/** Median seconds of every step over whole passes, after passes that let the engine's optimising compiler step in. */
function passTimes({ steps }: Program, { functions }: KernelInstance, argumentsOf: (step: Step) => KernelCall): readonly number[] {
  const prepared = steps.map((step) => ({ kernel: required(functions.get(step.kernel), step.kernel), args: argumentsOf(step) }));
  const pass = (): readonly number[] =>
    prepared.map(({ kernel, args }) => {
      const begin = now();
      kernel.call(args);
      return now() - begin;
    });
  samplesOf({ least: 2, most: 1000, seconds: 1 }, pass);
  const passes = samplesOf(usualPatience, pass);
  return steps.map((_, i) => median(passes.map((times) => required(times[i], "time"))));
}

/** One figure a kernel: the mean of its steps. */
function figuresOf(target: Target, planned: Planned, roofs: Roofs, call: CallRows, seconds: readonly number[]): readonly KernelFigure[] {
  const { model, variant, program } = planned;
  const total = seconds.reduce((sum, time) => sum + time, 0);
  return program.kernels.map(({ name }): KernelFigure => {
    const own = program.steps.flatMap((step, i) => (step.kernel === name ? [i] : []));
    const first = required(own[0], `step of ${name}`);
    const time = own.reduce((sum, i) => sum + required(seconds[i], "time"), 0) / own.length;
    const { bytes, macs, usesAtom } = kernelCost(planned, first, call);
    const rows = rowsOfStep(required(program.steps[first], "step"), call);
    const least = Math.max(bytes / roofs.readBandwidth, macs / (usesAtom ? roofs.dotRate : roofs.floatRate));
    const record: KernelRecord = {
      kernel: name,
      target: target.name,
      variant: variant.name,
      shape: `${model}, rows ${rows} of ${call.rows}, position ${call.position}, ${own.length} calls`,
      seconds: time,
      bytes,
      macs,
      gbPerSecond: bytes / time / 1e9,
      gmacPerSecond: macs / time / 1e9,
      roofRatio: least / time,
    };
    return { record, model, rows: call.rows, calls: own.length, share: (time * own.length) / total };
  });
}
