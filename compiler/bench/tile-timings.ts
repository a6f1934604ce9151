/**
 * What tiles cost on this machine: the product of each candidate, of one row and of many, over matrices that come from memory as a model's do.
 * Candidates take turns, so that what else the machine does meets all of them.
 */
import type { Target, TargetVariant } from "../../targets/target.ts";
import { required } from "../errors.ts";
import type { DotAtom, TileShape } from "../kernel/atom.ts";
import { countKernel } from "../kernel/count.ts";
import type { Kernel } from "../kernel/ir.ts";
import { storeEpilogue } from "../kernel/library/epilogues.ts";
import { gemm, tileBytes } from "../kernel/library/gemm.ts";
import { f32Bytes } from "../kernel/library/lanes.ts";
import { layoutBytes, type PanelLayout } from "../kernel/library/panels.ts";
import { manyRowTiles, singleRowTiles } from "../kernel/library/tiles.ts";
import { blockSize, groupSize, roundUp } from "../numeric/quantize.ts";
import type { GroupFormatName } from "../numeric/weight-groups.ts";
import { instantiateKernels, type KernelInstance } from "./instance.ts";
import { median, samplesOf, secondsOf } from "./timing.ts";

/** Rows and columns of a matrix. */
export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
}

/** What to measure, how long, and over how much memory. */
export interface TuneEffort {
  readonly shapes: readonly MatrixShape[];
  /** Copies of a matrix fill so much: more than the caches hold, as a model's weights are. */
  readonly weightBytes: number;
  /** Seconds that the candidates of a shape run before they are measured: engines compile what runs often a second time. */
  readonly warmSeconds: number;
  /** Seconds that they are measured. */
  readonly seconds: number;
}

/** LFM2-350M's square matrices, and those with the longest rows, whose unpacked panels are largest. */
export const usualEffort: TuneEffort = {
  shapes: [
    { rows: 1024, columns: 1024 },
    { rows: 1024, columns: 4608 },
  ],
  weightBytes: 256 * 2 ** 20,
  warmSeconds: 1.5,
  seconds: 2.5,
};

/** A candidate at one shape, in calls of so many rows. */
export interface TileTiming {
  readonly atom: string;
  readonly tile: TileShape;
  readonly shape: MatrixShape;
  readonly rows: number;
  /** Of one call: the median. */
  readonly seconds: number;
  /** Vector instructions of one call, loads apart, and loads, as the kernel has them. */
  readonly operations: number;
  readonly loads: number;
}

/** Rows of the calls that stand for prefill: whole tiles of every candidate. */
export const manyRows = 64;
const cacheLine = 64;
/** Bytes of weights that a sample of single rows reads at least, so that the clock's grain takes no part in it. */
const sampleBytes = 8 * 2 ** 20;
const fewestSamples = 5;

/** Measures the candidates of a variant's atoms for one format, on one thread. */
export async function measureTiles(
  target: Target,
  variant: TargetVariant,
  format: GroupFormatName,
  { shapes, weightBytes, warmSeconds, seconds }: TuneEffort,
): Promise<readonly TileTiming[]> {
  const candidates = shapes.flatMap((shape) => variant.atoms.flatMap((atom) => candidatesOf(atom, format, shape)));
  const kernels = [...new Map(candidates.map(({ kernel }) => [kernel.name, kernel])).values()];
  const places = placesOf(candidates);
  const machine = await instantiateKernels(target, variant, kernels, places.weights + weightBytes);
  try {
    const nextCopy = copiesIn(weightBytes);
    const timed = candidates.map((candidate) => ({ candidate, sample: sampler(machine, candidate, places, nextCopy) }));
    return shapes.flatMap((shape) =>
      [1, manyRows].flatMap((rows) => {
        const own = timed.filter(({ candidate }) => candidate.shape === shape && candidate.rows === rows);
        inTurns(own, warmSeconds);
        const samples = inTurns(own, seconds);
        return own.map(({ candidate: { atom, tile, kernel } }, i): TileTiming => {
          const { operations, loads } = countKernel(kernel, { rows }, { vectorBytes: variant.vectors.bytes });
          return { atom: atom.name, tile, shape, rows, seconds: median(required(samples[i], "samples")), operations, loads };
        });
      }),
    );
  } finally {
    await machine.close();
  }
}

interface Candidate {
  readonly atom: DotAtom;
  readonly tile: TileShape;
  readonly shape: MatrixShape;
  readonly rows: number;
  readonly layout: PanelLayout;
  readonly kernel: Kernel;
}

function candidatesOf(atom: DotAtom, format: GroupFormatName, shape: MatrixShape): readonly Candidate[] {
  const layout: PanelLayout = { encoding: { weights: format, scales: "f16" }, matrices: 1, streams: 1, ...shape };
  const epilogue = storeEpilogue({ stride: shape.rows, bias: false, residualStride: null });
  const inCallsOf = (rows: number, tiles: readonly TileShape[]): readonly Candidate[] =>
    tiles.map((tile) => ({
      ...{ atom, tile, shape, rows, layout },
      kernel: gemm({ layout, inputStride: null, atom, tile, byExpert: false, epilogue }),
    }));
  return [...inCallsOf(1, singleRowTiles(atom)), ...inCallsOf(manyRows, manyRowTiles(atom))];
}

type Places = Readonly<Record<"xq" | "xd" | "xs" | "out" | "tile" | "weights", number>>;

/** Where the operands lie, by parameter: room for those of every candidate, the weights last. */
function placesOf(candidates: readonly Candidate[]): Places {
  const largest = (figure: (candidate: Candidate) => number): number => roundUp(Math.max(...candidates.map(figure)), cacheLine);
  const columns = largest(({ layout }) => roundUp(layout.columns, blockSize));
  const groupBytes = roundUp((manyRows * columns * f32Bytes) / groupSize, cacheLine);
  const [xd, xs] = [manyRows * columns, manyRows * columns + groupBytes];
  const out = xs + groupBytes;
  const tile = out + largest(({ layout }) => manyRows * layout.rows * f32Bytes);
  return { xq: 0, xd, xs, out, tile, weights: tile + largest(tileBytes) };
}

/** Where the next copy of a matrix of so many bytes begins. All candidates take copies from one run: else the first would find its weights in memory, and leave them in a cache for the others. */
type NextCopy = (bytes: number) => number;

function copiesIn(weightBytes: number): NextCopy {
  let end = 0;
  return (bytes) => {
    const start = end + bytes > weightBytes ? 0 : end;
    end = start + bytes;
    return start;
  };
}

/** A function that times calls of a candidate, each with a copy of its matrix that comes from memory: mean seconds of a call. */
function sampler(
  { functions, base }: KernelInstance,
  { kernel, layout, rows }: Candidate,
  places: Places,
  nextCopy: NextCopy,
): () => number {
  const run = required(functions.get(kernel.name), kernel.name);
  const bytes = roundUp(layoutBytes(layout), cacheLine);
  const calls = rows > 1 ? 1 : Math.ceil(sampleBytes / bytes);
  return () =>
    secondsOf(() => {
      for (let i = 0; i < calls; i++) {
        const values = new Map(Object.entries({ ...places, weights: places.weights + nextCopy(bytes) }));
        run.call(kernel.parameters.map(({ name, access }) => (access === "scalar" ? rows : base + required(values.get(name), name))));
      }
    }) / calls;
}

/** Samples of each, one after the other in rounds, until the time is up. */
function inTurns(timed: readonly { readonly sample: () => number }[], seconds: number): readonly (readonly number[])[] {
  const rounds = samplesOf({ least: fewestSamples, most: Infinity, seconds }, () => timed.map(({ sample }) => sample()));
  return timed.map((_, i) => rounds.map((round) => required(round[i], "sample")));
}
