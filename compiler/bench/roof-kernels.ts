/**
 * Kernels that do one thing as fast as the machine lets them: read memory, multiply 8-bit activations with 4-bit weights, multiply and
 * add f32. What they reach is the roof under which every other kernel is judged. A step's activations are never those of another: else
 * V8 unrolls the loop, finds the products of its iterations equal, and measures additions alone.
 */
import { internal } from "../errors.ts";
import type { DotAtom, Place, Registers } from "../kernel/atom.ts";
import { recordKernel, type KernelBuilder } from "../kernel/builder.ts";
import { bytesOfType, vector, type Kernel, type Value, type Variable } from "../kernel/ir.ts";
import { chunkBytes, f32Bytes, f32x16, i32x16, laneCount } from "../kernel/library/lanes.ts";

/** Bytes that one iteration of `streamRead` reads. */
export const streamStepBytes = 4 * chunkBytes;

/** Reads `steps` times `streamStepBytes` in rising order: loads and one OR each, into two accumulators of 64 bytes. */
export function streamRead(): Kernel {
  return recordKernel("stream_read", "reads memory in rising order", (b) => {
    const from = b.pointer("from", "read", `bytes [steps, ${streamStepBytes}]`);
    const out = b.pointer("out", "write", "what was read, OR'ed: 64 bytes");
    const steps = b.scalar("steps", "runs of bytes to read");
    const sums = [0, 1].map((i) => b.variable(`sum${i}`, b.literal(i32x16, 0)));
    b.for("step", 0, steps, 1, (step) => {
      for (let chunk = 0; chunk < streamStepBytes / chunkBytes; chunk++) {
        const sum = sums[chunk % sums.length] ?? internal("no accumulator");
        b.assign(sum, b.or(b.read(sum), b.load(i32x16, from, b.mul(step, streamStepBytes), chunk * chunkBytes)));
      }
    });
    b.store(
      sums.map((sum) => b.read(sum)).reduce((a, c) => b.or(a, c)),
      out,
    );
  });
}

/** A kernel that multiplies in registers, and what one iteration of it multiplies. */
export interface RateKernel {
  readonly kernel: Kernel;
  readonly macsPerStep: number;
}

/** Rows of activations that the dot kernel holds: with their accumulators and the weights they fill 16 registers. */
const dotRows = 2;

/** The atom's step without its loads; `finish` runs once, at the end. Both orders of the weights' registers, so that one change of x serves twice. */
export function dotRate(atom: DotAtom): RateKernel {
  const stepBytes = (atom.tile.n * atom.tile.k) / 2;
  const kernel = recordKernel(`dot_rate_${atom.name}`, "multiplies 8-bit activations with 4-bit weights, in registers", (b) => {
    const from = b.pointer("from", "read", `nibbles [${stepBytes}], then activations [${dotRows}, ${atom.tile.k}]`);
    const out = b.pointer("out", "write", `sums [${dotRows}, ${atom.tile.n}] i32`);
    const steps = b.scalar("steps", "steps to run");
    const at = (offset: number): Place => ({ pointer: from, index: b.int(0), offset });
    const weights = atom.loadWeights.q4_0(b, at(0));
    const turned = [...weights.slice(1), ...weights.slice(0, 1)];
    const rows = Array.from({ length: dotRows }, (_, i) => atom.loadActivations(b, at(stepBytes + i * atom.tile.k)));
    const sums = rows.map((row, i) => keep(b, `sum${i}_`, atom.step(b, atom.init(b), row, weights)));
    b.for("step", 0, steps, 1, (step) => {
      rows.forEach((row, i) => {
        const [sum = [], x] = [sums[i], row.map((register) => changed(b, register, step))];
        const once = atom.step(b, readAll(b, sum), x, weights);
        assignAll(b, sum, atom.step(b, once, x, turned));
      });
    });
    sums.forEach((sum, i) => {
      b.store(atom.finish(b, readAll(b, sum)), out, 0, i * atom.tile.n * f32Bytes);
    });
  });
  return { kernel, macsPerStep: 2 * dotRows * atom.tile.n * atom.tile.k };
}

const floatRows = 2;

/**
 * sum + x * w of f32, as the product of whole weights does it: two rows of x, one column of 16 weights. Both rows come from one register
 * of x, because an accumulator without a register of its own would have to pass through memory at every step.
 */
export function floatRate(): RateKernel {
  const kernel = recordKernel("float_rate", "multiplies and adds f32, in registers", (b) => {
    const from = b.pointer("from", "read", "weights [16], then activations [4] f32");
    const out = b.pointer("out", "write", `sums [${floatRows}, 16] f32`);
    const steps = b.scalar("steps", "steps to run");
    const weights = b.load(f32x16, from);
    const start = b.load(vector("f32", 4), from, 0, chunkBytes);
    const zeros = Array.from({ length: floatRows }, () => b.literal(f32x16, 0));
    const sums = keep(b, "sum", zeros);
    b.for("step", 0, steps, 1, (step) => {
      const x = changed(b, start, step);
      sums.forEach((sum, i) => {
        const row = i === 0 ? x : b.shuffle(x, [1, 0, 3, 2]);
        b.assign(sum, b.add(b.read(sum), b.mul(b.concat(row, row, row, row), weights)));
      });
    });
    sums.forEach((sum, i) => {
      b.store(b.read(sum), out, 0, i * chunkBytes);
    });
  });
  return { kernel, macsPerStep: floatRows * laneCount };
}

/** Other values every step, at the cost of one OR. */
function changed(b: KernelBuilder, value: Value, step: Value): Value {
  const counter = b.bitcast(b.splat(step, bytesOfType(value.type) / f32Bytes), vector("i8", bytesOfType(value.type)));
  return b.bitcast(b.or(b.bitcast(value, counter.type), counter), value.type);
}

function keep(b: KernelBuilder, name: string, values: Registers): readonly Variable[] {
  return values.map((value, i) => b.variable(`${name}${i}`, value));
}

function assignAll(b: KernelBuilder, variables: readonly Variable[], values: readonly Value[]): void {
  variables.forEach((variable, i) => {
    b.assign(variable, values[i] ?? internal("an accumulator changed its form"));
  });
}

function readAll(b: KernelBuilder, variables: readonly Variable[]): readonly Value[] {
  return variables.map((variable) => b.read(variable));
}
