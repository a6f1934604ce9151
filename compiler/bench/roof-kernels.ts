/**
 * Kernels that do one thing as fast as the machine lets them: read memory, multiply 8-bit activations with 4-bit weights, multiply and
 * add f32. What they reach is the roof under which every other kernel is judged. Each step takes values that changed since the last,
 * so that no optimiser can compute a product once and reuse it.
 */
import { internal } from "../errors.ts";
import type { DotAtom, Registers } from "../kernel/atom.ts";
import { recordKernel, type KernelBuilder } from "../kernel/builder.ts";
import { f32, type Kernel, type Value, type Variable } from "../kernel/ir.ts";
import { chunkBytes, f32Bytes, f32x16, i32x16 } from "../kernel/library/lanes.ts";

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
    b.store(sums.map((sum) => b.read(sum)).reduce((a, c) => b.or(a, c)), out);
  });
}

/** A kernel that multiplies in registers, and what one iteration of it multiplies. */
export interface RateKernel {
  readonly kernel: Kernel;
  readonly macsPerStep: number;
}

/** Rows of activations that the dot kernel holds: with their accumulators and the weights they fill 16 registers. */
const dotRows = 2;

/**
 * The atom's step without its loads. The weights' registers trade places every step; `finish` runs once at the end.
 */
export function dotRate(atom: DotAtom): RateKernel {
  const stepBytes = (atom.tile.n * atom.tile.k) / 2;
  const kernel = recordKernel(`dot_rate_${atom.name}`, "multiplies 8-bit activations with 4-bit weights, in registers", (b) => {
    const from = b.pointer("from", "read", `nibbles [${stepBytes}], then activations [${dotRows}, ${atom.tile.k}]`);
    const out = b.pointer("out", "write", `sums [${dotRows}, ${atom.tile.n}] i32`);
    const steps = b.scalar("steps", "steps to run");
    const at = (offset: number) => ({ pointer: from, index: b.int(0), offset });
    const weights = keep(b, "weights", atom.loadWeights(b, at(0)));
    const rows = Array.from({ length: dotRows }, (_, i) => atom.loadActivations(b, at(stepBytes + i * atom.tile.k)));
    const first = weights.map((w) => b.read(w));
    const sums = rows.map((row, i) => keep(b, `sum${i}_`, atom.step(b, atom.init(b), row, first)));
    b.for("step", 0, steps, 1, () => {
      const held = weights.map((w) => b.read(w));
      rows.forEach((row, i) => {
        const sum = sums[i] ?? [];
        const once = atom.step(b, sum.map((s) => b.read(s)), row, held);
        assignAll(b, sum, atom.step(b, once, row, rotated(held)));
      });
      assignAll(b, weights, rotated(held));
    });
    sums.forEach((sum, i) => {
      b.store(atom.finish(b, sum.map((s) => b.read(s))), out, 0, i * atom.tile.n * f32Bytes);
    });
  });
  return { kernel, macsPerStep: 2 * dotRows * atom.tile.n * atom.tile.k };
}

/** sum + x * w of f32, as the product of whole weights does it: two rows of x, one column of 16 weights. */
export function floatRate(): RateKernel {
  const rows = 2;
  const kernel = recordKernel("float_rate", "multiplies and adds f32, in registers", (b) => {
    const from = b.pointer("from", "read", `weights [16], then activations [${rows}] f32`);
    const out = b.pointer("out", "write", `sums [${rows}, 16] f32`);
    const steps = b.scalar("steps", "steps to run");
    const weights = b.load(f32x16, from);
    const xs = keep(
      b,
      "x",
      Array.from({ length: rows }, (_, i) => b.splat(b.load(f32, from, 0, chunkBytes + i * f32Bytes), 16)),
    );
    const sums = keep(
      b,
      "sum",
      xs.map(() => b.literal(f32x16, 0)),
    );
    b.for("step", 0, steps, 1, () => {
      const held = xs.map((x) => b.read(x));
      sums.forEach((sum, i) => {
        b.assign(sum, b.add(b.read(sum), b.mul(held[i] ?? weights, weights)));
      });
      assignAll(b, xs, rotated(held));
    });
    sums.forEach((sum, i) => {
      b.store(b.read(sum), out, 0, i * chunkBytes);
    });
  });
  return { kernel, macsPerStep: rows * 16 };
}

function keep(b: KernelBuilder, name: string, values: Registers): readonly Variable[] {
  return values.map((value, i) => b.variable(`${name}${i}`, value));
}

function assignAll(b: KernelBuilder, variables: readonly Variable[], values: readonly Value[]): void {
  variables.forEach((variable, i) => {
    b.assign(variable, values[i] ?? internal("an accumulator changed its form"));
  });
}

function rotated(values: readonly Value[]): readonly Value[] {
  return [...values.slice(1), ...values.slice(0, 1)];
}
