/**
 * Kernels that do one thing as fast as the machine lets them: read memory, multiply 8-bit activations with 4-bit weights, multiply and
 * add f32. What they reach is the roof under which every other kernel is judged. A step's activations are never those of another: else
 * V8 unrolls the loop, finds the products of its iterations equal, and measures additions alone.
 */
import { internal } from "../errors.ts";
import type { DotAtom, Place, Registers } from "../kernel/atom.ts";
import { recordKernel, type KernelBuilder } from "../kernel/builder.ts";
import { bytesOfType, vector, type Kernel, type Value, type Variable } from "../kernel/ir.ts";
import { groupNumbers } from "../kernel/library/group-numbers.ts";
import { chunkBytes, f32Bytes, f32x16, i32x16, laneCount } from "../kernel/library/lanes.ts";

/** Streams that a thread may read at once: what is fastest differs between processors and their prefetchers. */
export const streamCounts = [1, 2, 4, 8] as const;

/** Bytes that one iteration of `streamRead` reads of each stream. */
export const streamStepBytes = 4 * chunkBytes;

/**
 * Reads `streams` neighbouring runs of `steps` times `streamStepBytes` each, all in rising order and at once: loads and one OR each, into two
 * accumulators of 64 bytes.
 */
export function streamRead(streams: number): Kernel {
  return recordKernel(`stream_read_${streams}`, "reads memory in rising order", (b) => {
    const from = b.pointer("from", "read", `bytes [${streams}, steps, ${streamStepBytes}]`);
    const out = b.pointer("out", "write", "what was read, OR'ed: 64 bytes");
    const steps = b.scalar("steps", "runs of bytes to read of each stream");
    const sums = [0, 1].map((i) => b.variable(`sum${i}`, b.literal(i32x16, 0)));
    const runs = Array.from({ length: streams }, (_, stream) => b.advance(from, b.mul(steps, stream), streamStepBytes));
    b.for("step", 0, steps, 1, (step) => {
      const at = b.mul(step, streamStepBytes);
      for (let chunk = 0; chunk < streamStepBytes / chunkBytes; chunk++) {
        const sum = sums[chunk % sums.length] ?? internal("no accumulator");
        for (const run of runs) b.assign(sum, b.or(b.read(sum), b.load(i32x16, run, at, chunk * chunkBytes)));
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

/** Tiles of activations that a dot kernel may hold: few fit 16 registers with what they sum up, many hide an instruction's latency. */
export const dotTiles = [2, 4, 8, 12] as const;

/**
 * The atom's step without its loads; `finish` runs once, at the end. Each tile meets two sets of weights, so that one change of x serves twice:
 * both orders of the registers, or where there is one register the next step's.
 */
export function dotRate(atom: DotAtom, tileCount: number): RateKernel {
  const { m, n, k } = atom.tile;
  const stepBytes = (n * k) / 2;
  const format = atom.formats.nibbles;
  const summary = "multiplies 8-bit activations with 4-bit weights, in registers";
  const kernel = recordKernel(`dot_rate_${atom.name.replaceAll("-", "_")}_${tileCount}`, summary, (b) => {
    const from = b.pointer("from", "read", `nibbles [2, ${stepBytes}], then activations [${tileCount * m}, ${k}]`);
    const out = b.pointer("out", "write", `sums [${tileCount * m}, ${n}] i32`);
    const steps = b.scalar("steps", "steps to run");
    const at = (offset: number): Place => ({ pointer: from, index: b.int(0), offset });
    const row = (tile: number, i: number): number => tile * m + i;
    const load = (offset: number): Registers => format.load(b, groupNumbers(b, 4, at(offset)), 0);
    const weights = load(0);
    const others = weights.length > 1 ? [...weights.slice(1), ...weights.slice(0, 1)] : load(stepBytes);
    const tiles = Array.from({ length: tileCount }, (_, tile) => {
      const places = Array.from({ length: m }, (_, i) => at(2 * stepBytes + row(tile, i) * k));
      return atom.loadActivations(b, places);
    });
    const sums = tiles.map((tile, i) => keep(b, `sum${i}_`, format.step(b, [], tile, weights)));
    b.for("step", 0, steps, 1, (step) => {
      tiles.forEach((tile, i) => {
        const [sum = [], x] = [sums[i], tile.map((register) => changed(b, register, step))];
        const once = format.step(b, readAll(b, sum), x, weights);
        assignAll(b, sum, format.step(b, once, x, others));
      });
    });
    sums.forEach((sum, tile) => {
      format.finish(b, readAll(b, sum)).forEach((values, i) => {
        b.store(values, out, 0, row(tile, i) * n * f32Bytes);
      });
    });
  });
  return { kernel, macsPerStep: 2 * tileCount * m * n * k };
}

/** Rows of x and columns of 16 weights that an f32 kernel may hold: few fit 16 registers with their sums, many hide an instruction's latency. */
export const floatTiles = [
  { rows: 2, columns: 1 },
  { rows: 4, columns: 1 },
  { rows: 4, columns: 2 },
] as const;

/** Orders of four numbers, so that rows differ. */
const rowOrders = [
  [0, 1, 2, 3],
  [1, 0, 3, 2],
  [2, 3, 0, 1],
  [3, 2, 1, 0],
] as const;

/**
 * sum + x * w of f32, as the product of whole weights does it. All rows come from one register of x, because an accumulator without a register of
 * its own would have to pass through memory at every step.
 */
export function floatRate({ rows, columns }: (typeof floatTiles)[number]): RateKernel {
  const kernel = recordKernel(`float_rate_${rows}x${columns}`, "multiplies and adds f32, in registers", (b) => {
    const from = b.pointer("from", "read", `weights [${columns}, 16], then activations [4] f32`);
    const out = b.pointer("out", "write", `sums [${rows}, ${columns}, 16] f32`);
    const steps = b.scalar("steps", "steps to run");
    const weights = Array.from({ length: columns }, (_, column) => b.load(f32x16, from, 0, column * chunkBytes));
    const start = b.load(vector("f32", 4), from, 0, columns * chunkBytes);
    const sums = rowOrders.slice(0, rows).map((order, row) => ({
      order,
      row: keep(
        b,
        `sum${row}_`,
        weights.map(() => b.literal(f32x16, 0)),
      ),
    }));
    b.for("step", 0, steps, 1, (step) => {
      const x = changed(b, start, step);
      for (const { order, row } of sums) {
        const turned = b.shuffle(x, order);
        const wide = b.concat(turned, turned, turned, turned);
        row.forEach((sum, column) => {
          b.assign(sum, b.add(b.read(sum), b.mul(wide, weights[column] ?? internal("no column of weights"))));
        });
      }
    });
    sums
      .flatMap(({ row }) => row)
      .forEach((sum, i) => {
        b.store(b.read(sum), out, 0, i * chunkBytes);
      });
  });
  return { kernel, macsPerStep: rows * columns * laneCount };
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
